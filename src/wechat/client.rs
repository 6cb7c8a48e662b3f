//! The one client for WeChat's API: a function per call, base URLs and time-outs from the settings.

use std::iter;
use std::time::{Duration, SystemTime};

use reqwest::header::DATE;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::answer::Answer;
use super::media::{self, MediaDownload, NotOpened};
use super::media_id::MediaId;
use super::metrics::{Api, WeChatMetrics};
use super::{BodyProblem, CallError};
use crate::account::AppId;
use crate::clock::Moment;
use crate::http_client::{self, SendError};
use crate::secret::Secret;
use crate::settings::values::BaseUrl;
use crate::settings::{self, UnusableSetting};
use crate::telemetry::{call_span, traced};

/// A token or ticket as WeChat issued it.
#[derive(Debug)]
pub struct Issued {
    /// The token or ticket.
    pub value: Secret,
    /// The life that WeChat gave it, from `asked_at`.
    pub expires_in: Duration,
    /// When it was asked for. Its life is counted from here: too short by the call's duration, never too long.
    pub asked_at: Moment,
}

/// The average pause before `media/get` is called once more.
const MEDIA_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The one client for WeChat's API.
pub struct WeChatClient {
    pub(super) http: Client,
    pub(super) bases: Vec<BaseUrl>,
    pub(super) timeout: Duration,
    /// The limit of a whole media download.
    media_timeout: Duration,
    /// The limit of making a connection to one of the hosts, tried in turn.
    pub(super) connect_limit: Duration,
    pub(super) metrics: WeChatMetrics,
}

impl WeChatClient {
    /// A client for the hosts in `settings`, with connections according to `http`.
    pub fn new(
        settings: &settings::WeChat,
        http: &settings::HttpClient,
        metrics: WeChatMetrics,
    ) -> Result<Self, UnusableSetting> {
        let bases: Vec<_> = iter::once(&settings.api_base_url)
            .chain(&settings.fallback_base_urls)
            .cloned()
            .collect();
        let hosts = u32::try_from(bases.len()).unwrap_or(u32::MAX);
        // Shorter than the time-out of the call, so that it fails as a connection, after which the next host is
        // tried, and not as a missing answer.
        let connect_timeout = settings.connect_timeout.min(settings.timeout.mul_f64(0.9));
        Ok(Self {
            http: http_client::build(http, connect_timeout)?,
            bases,
            timeout: settings.timeout,
            media_timeout: settings.media_timeout,
            connect_limit: settings.connect_timeout.saturating_mul(hosts),
            metrics,
        })
    }

    /// `GET /cgi-bin/token`: a new token; the one before becomes invalid within five minutes.
    pub async fn classic_token(&self, app_id: &AppId, secret: &Secret) -> Result<Issued, CallError> {
        let query = [
            ("grant_type", "client_credential"),
            ("appid", app_id.as_str()),
            ("secret", secret.expose()),
        ];
        let asked_at = Moment::now();
        let answer = self.json(Api::Token, &Call::get("/cgi-bin/token", &query)).await;
        issued(&answer?, "access_token", asked_at)
    }

    /// `POST /cgi-bin/stable_token`: the current token and its remaining life, or with
    /// `force_refresh` a new one.
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
        let call = Call::post("/cgi-bin/stable_token", &body);
        let answer = self.json(Api::StableToken, &call).await;
        issued(&answer?, "access_token", asked_at)
    }

    /// `GET /cgi-bin/ticket/getticket`: the current ticket of this type, `jsapi` or `wx_card`. WeChat always reports its
    /// full life, however old it is.
    pub async fn ticket(&self, token: &Secret, ticket_type: &str) -> Result<Issued, CallError> {
        let query = [("access_token", token.expose()), ("type", ticket_type)];
        let asked_at = Moment::now();
        let call = Call::get("/cgi-bin/ticket/getticket", &query);
        let answer = self.json(Api::Ticket, &call).await;
        issued(&answer?, "ticket", asked_at)
    }

    /// `GET /cgi-bin/get_api_domain_ip`: the cheapest call that needs a token, to find out whether WeChat
    /// accepts `token`.
    pub async fn probe(&self, token: &Secret) -> Result<(), CallError> {
        let query = [("access_token", token.expose())];
        let call = Call::get("/cgi-bin/get_api_domain_ip", &query);
        self.json(Api::Probe, &call).await.map(drop)
    }

    /// WeChat's clock, to the second, from the `Date` header of an answer, if it has one. The call has no token,
    /// so it counts against no quota: a refusal has a date too.
    pub async fn date(&self) -> Result<Option<SystemTime>, CallError> {
        let response = self.send(&Call::get("/cgi-bin/get_api_domain_ip", &[])).await?;
        if response.status() != StatusCode::OK {
            return Err(CallError::Status(response.status()));
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    /// `GET /cgi-bin/media/get`: a temporary media file, as a stream. A failure that may pass, before the first byte,
    /// costs one more call.
    pub async fn media(&self, token: &Secret, media_id: &MediaId) -> Result<MediaDownload, CallError> {
        let failed = match self.open_media(token, media_id).await {
            Err(failed) if failed.is_passing() => failed.error,
            opened => return opened.map_err(|failed| failed.error),
        };
        tracing::debug!(error = %failed, "WeChat did not begin to send a photo; it is asked once more");
        sleep(MEDIA_RETRY_PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
        let opened = self.open_media(token, media_id).await;
        opened.map_err(|failed| failed.error)
    }

    /// One call for a media file, until its first bytes have come.
    async fn open_media(&self, token: &Secret, media_id: &MediaId) -> Result<MediaDownload, NotOpened> {
        let query = [("access_token", token.expose()), ("media_id", media_id.as_str())];
        let started = Instant::now();
        let opening = async {
            let call = Call::get("/cgi-bin/media/get", &query);
            let response = self.send(&call).await.map_err(NotOpened::early)?;
            media::open(response, self.timeout, started).await
        };
        let limited = async {
            let opened = timeout(self.media_timeout, opening).await;
            opened.unwrap_or_else(|_| Err(NotOpened::out_of_time()))
        };
        let opened = traced(call_span("wechat", Api::Media.label()), limited).await;
        let error = opened.as_ref().err().map(|failed| &failed.error);
        self.metrics.observe(Api::Media, started, error);
        opened
    }

    /// Makes a call that answers JSON, within `wechat.timeout` plus the time for unreachable hosts before.
    async fn json(&self, api: Api, call: &Call<'_>) -> Result<Answer, CallError> {
        let started = Instant::now();
        let call = async { Answer::read(self.send(call).await?, self.timeout).await };
        let limited = async {
            let answer = timeout(self.connect_limit + self.timeout, call).await;
            answer.unwrap_or(Err(CallError::TimedOut))
        };
        let answer = traced(call_span("wechat", api.label()), limited).await;
        self.metrics.observe(api, started, answer.as_ref().err());
        answer
    }

    /// Sends to the first host that accepts a connection. An answer, even an error, is never a reason to try
    /// another host: a token call must not be made twice.
    async fn send(&self, call: &Call<'_>) -> Result<Response, CallError> {
        let mut last = String::new();
        for base in &self.bases {
            match http_client::send(call.to(&self.http, base)?, self.timeout).await {
                Ok(response) => return Ok(response),
                Err(SendError::Connect(why)) => last = why,
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallError::Unreachable(last))
    }
}

/// The failure of a request whose URL is not valid.
pub(super) fn unsendable() -> CallError {
    CallError::Interrupted("the request's URL can't be sent as it is".to_owned())
}

/// A call, without the host.
struct Call<'a> {
    path: &'static str,
    /// May hold a token or a secret.
    query: &'a [(&'static str, &'a str)],
    /// What is posted, if anything.
    json: Option<&'a Value>,
}

impl<'a> Call<'a> {
    fn get(path: &'static str, query: &'a [(&'static str, &'a str)]) -> Self {
        Self {
            path,
            query,
            json: None,
        }
    }

    fn post(path: &'static str, json: &'a Value) -> Self {
        Self {
            path,
            query: &[],
            json: Some(json),
        }
    }

    fn to(&self, http: &Client, base: &BaseUrl) -> Result<RequestBuilder, CallError> {
        let url = base.join(self.path, None).ok_or_else(unsendable)?;
        Ok(match self.json {
            None => http.get(url).query(self.query),
            Some(json) => http.post(url).json(json),
        })
    }
}

/// Longer than any life that WeChat gives; prevents an overflow of the clock.
const MAX_LIFE: i64 = 30 * 24 * 3600;

/// The longest token or ticket, in bytes. WeChat promises 512; one that is much longer fits in no URL.
pub const MAX_CREDENTIAL: usize = 1024;

fn issued(answer: &Answer, field: &str, asked_at: Moment) -> Result<Issued, CallError> {
    let unexpected = || CallError::Body(BodyProblem::Unexpected);
    let value = answer.text(field).filter(|value| value.len() <= MAX_CREDENTIAL);
    let value = value.ok_or_else(unexpected)?;
    // Without a positive life it must not be used: a cache may keep such a value for ever.
    let seconds = answer
        .integer("expires_in")
        .filter(|seconds| *seconds > 0)
        .ok_or_else(unexpected)?;
    let expires_in = Duration::from_secs(seconds.min(MAX_LIFE).unsigned_abs());
    Ok(Issued {
        value: Secret::new(value),
        expires_in,
        asked_at,
    })
}
