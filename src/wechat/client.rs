//! The only client for WeChat's API: a function per call, with the base URLs and time-outs from the settings, and the
//! metrics of calls.

use std::time::{Duration, SystemTime};

use prometheus::{
    HistogramVec, IntCounterVec, Registry, register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
};
use reqwest::header::DATE;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::answer::JsonAnswer;
use super::hosts::Hosts;
use super::media::{self, MediaDownload, MediaId, NotOpened};
use super::{BodyProblem, CallError};
use crate::account::AppId;
use crate::clock::Moment;
use crate::http_client;
use crate::labelled::labelled;
use crate::secret::Secret;
use crate::settings::values::BaseUrl;
use crate::settings::{self, UnusableSetting};
use crate::telemetry::{call_span, traced};

/// A token or ticket as WeChat issued it.
#[derive(Debug)]
pub struct Issued {
    /// The token or ticket.
    pub value: Secret,
    /// The lifetime that WeChat gave it, from `asked_at`.
    pub expires_in: Duration,
    /// When the call began. The lifetime is counted from here: too short by the call's duration, never too long.
    pub asked_at: Moment,
}

/// The path of the cheapest call that needs a token.
const PROBE_PATH: &str = "/cgi-bin/get_api_domain_ip";
/// The path of the call that downloads a temporary media file.
pub(crate) const MEDIA_PATH: &str = "/cgi-bin/media/get";

/// The query of a call; it may contain a token or a secret.
type Query<'a> = [(&'static str, &'a str)];

/// The average pause before `media/get` is retried.
const MEDIA_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The only client for WeChat's API.
pub struct WeChatClient {
    pub(super) http: Client,
    pub(super) hosts: Hosts,
    pub(super) timeout: Duration,
    /// The time limit of a whole media download.
    media_timeout: Duration,
    /// The time limit for connecting to one of the hosts, which are tried one after another.
    pub(super) connect_limit: Duration,
    metrics: WeChatMetrics,
}

impl WeChatClient {
    /// A client for the hosts in `settings`, with connections according to `http`.
    pub fn new(
        settings: &settings::WeChat,
        http: &settings::HttpClient,
        metrics: WeChatMetrics,
    ) -> Result<Self, UnusableSetting> {
        let hosts = Hosts::new(settings);
        let hosts_count = u32::try_from(hosts.bases.len()).unwrap_or(u32::MAX);
        // Shorter than the call's time-out, so that the call fails as a connection failure, after which the next host is
        // tried, and not as a missing answer.
        let connect_timeout = settings.connect_timeout.min(settings.timeout.mul_f64(0.9));
        Ok(Self {
            http: http_client::build(http, connect_timeout)?,
            timeout: settings.timeout,
            media_timeout: settings.media_timeout,
            connect_limit: settings.connect_timeout.saturating_mul(hosts_count),
            hosts,
            metrics,
        })
    }

    /// `GET /cgi-bin/token`: a new token; the previous one becomes invalid within five minutes.
    pub async fn classic_token(&self, app_id: &AppId, secret: &Secret) -> Result<Issued, CallError> {
        let query = [
            ("grant_type", "client_credential"),
            ("appid", app_id.as_str()),
            ("secret", secret.expose()),
        ];
        let asked_at = Moment::now();
        let answer = self.json(WeChatCall::Token, "/cgi-bin/token", &query, None).await;
        issued(&answer?, "access_token", asked_at)
    }

    /// `POST /cgi-bin/stable_token`: the current token and its remaining lifetime, or a new one with `force_refresh`.
    pub async fn stable_token(
        &self,
        app_id: &AppId,
        secret: &Secret,
        force_refresh: bool,
    ) -> Result<Issued, CallError> {
        let mut body = json!({
            "grant_type": "client_credential",
            "appid": app_id.as_str(),
            "secret": secret.expose(),
        });
        if force_refresh {
            body["force_refresh"] = true.into();
        }
        let asked_at = Moment::now();
        let answer = self
            .json(WeChatCall::StableToken, "/cgi-bin/stable_token", &[], Some(&body))
            .await;
        issued(&answer?, "access_token", asked_at)
    }

    /// `GET /cgi-bin/ticket/getticket`: the current ticket of this type, `jsapi` or `wx_card`. WeChat always reports its
    /// full lifetime, however old it is.
    pub async fn ticket(&self, token: &Secret, ticket_type: &str) -> Result<Issued, CallError> {
        let query = [("access_token", token.expose()), ("type", ticket_type)];
        let asked_at = Moment::now();
        let answer = self
            .json(WeChatCall::Ticket, "/cgi-bin/ticket/getticket", &query, None)
            .await;
        issued(&answer?, "ticket", asked_at)
    }

    /// `GET /cgi-bin/get_api_domain_ip`: the cheapest call that needs a token, to find out whether WeChat
    /// accepts `token`.
    pub async fn probe(&self, token: &Secret) -> Result<(), CallError> {
        let query = [("access_token", token.expose())];
        self.json(WeChatCall::Probe, PROBE_PATH, &query, None).await.map(drop)
    }

    /// WeChat's hosts, in the order in which they are tried.
    pub fn hosts(&self) -> impl Iterator<Item = &BaseUrl> {
        self.hosts.bases.iter()
    }

    /// The clock of the host `base`, in whole seconds, from the `Date` header of an answer, if present. The call has no
    /// token, so it counts against no quota: the refusal has a date too.
    pub async fn date(&self, base: &BaseUrl) -> Result<Option<SystemTime>, CallError> {
        let response = self.send_to(base, PROBE_PATH, &[], None).await?;
        if response.status() != StatusCode::OK {
            return Err(CallError::Status(response.status()));
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    /// `GET /cgi-bin/media/get`: a temporary media file, as a stream. If the call fails before the first byte, in a way
    /// that may be temporary, it is retried once.
    pub async fn media(&self, token: &Secret, media_id: &MediaId) -> Result<MediaDownload, CallError> {
        let failed = match self.open_media(token, media_id).await {
            Err(failed) if failed.is_transient() => failed.error,
            opened => return opened.map_err(|failed| failed.error),
        };
        tracing::debug!(error = %failed, "WeChat sent no data for a photo; retrying once");
        sleep(MEDIA_RETRY_PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
        let opened = self.open_media(token, media_id).await;
        opened.map_err(|failed| failed.error)
    }

    /// One call for a media file, until its first bytes have arrived.
    async fn open_media(&self, token: &Secret, media_id: &MediaId) -> Result<MediaDownload, NotOpened> {
        let query = [("access_token", token.expose()), ("media_id", media_id.as_str())];
        let started = Instant::now();
        let opening = async {
            let sent = self.send(MEDIA_PATH, &query, None).await;
            let response = sent.map_err(NotOpened::early)?;
            media::open(response, self.timeout, started).await
        };
        let limited = async {
            let opened = timeout(self.media_timeout, opening).await;
            opened.unwrap_or_else(|_| Err(NotOpened::late(CallError::TimedOut)))
        };
        let opened = traced(call_span("wechat", WeChatCall::Media.label()), limited).await;
        let error = opened.as_ref().err().map(|failed| &failed.error);
        self.metrics.observe(WeChatCall::Media, started, error);
        opened
    }

    /// Makes a call that is answered with JSON, within `wechat.timeout` plus the time to connect to the hosts.
    async fn json(
        &self,
        call: WeChatCall,
        path: &str,
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<JsonAnswer, CallError> {
        let reading = async { JsonAnswer::read(self.send(path, query, body).await?, self.timeout).await };
        let limited = async {
            let answer = timeout(self.connect_limit + self.timeout, reading).await;
            answer.unwrap_or(Err(CallError::TimedOut))
        };
        self.observed(call, limited).await
    }

    /// Runs `work`, which makes this call, in a span of its own, and counts it in the metrics.
    pub(super) async fn observed<T>(
        &self,
        call: WeChatCall,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let outcome = traced(call_span("wechat", call.label()), work).await;
        self.metrics.observe(call, started, outcome.as_ref().err());
        outcome
    }

    /// Sends GET `path`, or POST if there is a `body`, to the first host that can be reached.
    async fn send(&self, path: &str, query: &Query<'_>, body: Option<&Value>) -> Result<Response, CallError> {
        let send = |base| self.send_to(base, path, query, body);
        self.hosts.first_reachable(send).await
    }

    async fn send_to(
        &self,
        base: &BaseUrl,
        path: &str,
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<Response, CallError> {
        let url = base.join(path, None).ok_or_else(unsendable)?;
        let request = match body {
            None => self.http.get(url).query(query),
            Some(json) => self.http.post(url).json(json),
        };
        Ok(http_client::send(request, self.timeout).await?)
    }
}

/// The failure of a request whose URL is not valid.
pub(super) fn unsendable() -> CallError {
    CallError::Interrupted("the request's URL can't be sent as it is".to_owned())
}

/// In seconds. Longer than any lifetime that WeChat gives; prevents an overflow of the clock.
const MAX_LIFETIME: i64 = 30 * 24 * 3600;

/// The maximum length of a token or ticket, in bytes. WeChat says 512; a much longer one does not fit into a URL.
pub const MAX_CREDENTIAL: usize = 1024;

fn issued(answer: &JsonAnswer, field: &str, asked_at: Moment) -> Result<Issued, CallError> {
    let unexpected = || CallError::Body(BodyProblem::Unexpected);
    let value = answer.text(field).filter(|value| value.len() <= MAX_CREDENTIAL);
    let value = value.ok_or_else(unexpected)?;
    // Without a positive lifetime it must not be used: some caches keep such a value forever.
    let seconds = answer
        .integer("expires_in")
        .filter(|seconds| *seconds > 0)
        .ok_or_else(unexpected)?;
    let expires_in = Duration::from_secs(seconds.min(MAX_LIFETIME).unsigned_abs());
    Ok(Issued {
        value: Secret::new(value),
        expires_in,
        asked_at,
    })
}

labelled! {
    /// One of the calls that the gateway makes.
    pub(super) enum WeChatCall {
        Token = "token",
        StableToken = "stable_token",
        Ticket = "getticket",
        Media = "media_get",
        Probe = "get_api_domain_ip",
        PassThrough = "pass_through",
    }
}

/// `wxgate_wechat_requests_total` and `wxgate_wechat_request_duration_seconds`.
#[derive(Clone)]
pub struct WeChatMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl WeChatMetrics {
    /// Registers the metrics in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let buckets = vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "wxgate_wechat_requests_total",
                "Calls to WeChat, by API and outcome",
                &["api", "outcome"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "wxgate_wechat_request_duration_seconds",
                "Time until WeChat's answer began or failed",
                &["api"],
                buckets,
                registry
            )?,
        })
    }

    fn observe(&self, call: WeChatCall, started: Instant, error: Option<&CallError>) {
        let outcome = match error {
            None => "ok",
            Some(CallError::Unreachable(_)) => "unreachable",
            Some(CallError::TimedOut) => "timed_out",
            Some(CallError::Interrupted(_)) => "interrupted",
            Some(CallError::Status(_)) => "status",
            Some(CallError::Body(_)) => "body",
            Some(CallError::Refused { .. }) => "refused",
        };
        self.requests.with_label_values(&[call.label(), outcome]).inc();
        self.duration
            .with_label_values(&[call.label()])
            .observe(started.elapsed().as_secs_f64());
    }
}
