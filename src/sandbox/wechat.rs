//! WeChat's answers: one function per API, on the whole state, with the checks in WeChat's order.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::TRANSFER_ENCODING;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::AccountRecord;
use super::answer::{Answer, Body};
use super::api::Api;
use super::clock::Clock;
use super::config::{SandboxAccount, SandboxConfig};
use super::errmsg::errmsg;
use super::media::Upload;
use super::request::{Request, content_type, form_parts};
use super::tokens::{TokenAnswer, Validity};
use crate::account::AppId;
use crate::picture::PictureKind;
use crate::secret::Secret;

/// WeChat's whole state.
pub(super) struct WeChat {
    pub(super) config: Arc<SandboxConfig>,
    pub(super) clock: Clock,
    pub(super) accounts: Vec<AccountRecord>,
}

/// An `errcode` other than 0.
struct ApiRefusal(i64);

type ApiResult = Result<Answer, ApiRefusal>;

/// The account that a call is for, with the configuration and the clock.
type Caller<'a> = (&'a mut AccountRecord, &'a SandboxConfig, &'a Clock);

/// The longest token that is looked up; WeChat tells callers to reserve 512 characters.
const MAX_TOKEN: usize = 512;
/// The largest picture that `media/upload` takes.
const MAX_IMAGE: usize = 10 * 1024 * 1024;

impl WeChat {
    pub(super) fn new(config: Arc<SandboxConfig>) -> Self {
        let account = |config: &SandboxAccount| AccountRecord {
            config: config.clone(),
            ..AccountRecord::default()
        };
        Self {
            accounts: config.accounts.iter().map(account).collect(),
            config,
            clock: Clock::start(),
        }
    }

    /// Executes the call.
    pub(super) fn answer(&mut self, api: Api, request: &Request) -> Answer {
        // WeChat refuses chunked bodies.
        if request.head.headers.contains_key(TRANSFER_ENCODING) {
            return Answer::empty(412);
        }
        let outcome = match api.refuses(&request.head.method) {
            Some(code) => Err(ApiRefusal(code)),
            None => match api {
                Api::Token => self.token(request),
                Api::StableToken => self.stable_token(request),
                Api::GetTicket => self.ticket(request),
                Api::MediaUpload => self.media_upload(request),
                Api::MediaGet => self.media_get(request),
                Api::GetApiDomainIp => self.ip_list(api, request, &["101.89.47.18", "101.91.34.103", "180.97.7.108"]),
                Api::GetCallbackIp => self.ip_list(api, request, &["101.226.103.0/25", "180.163.15.149"]),
                Api::ClearQuota => self.clear_quota(request),
                Api::ClearQuotaV2 => self.clear_quota_v2(request),
                Api::QuotaGet => self.quota(request),
                Api::CustomSend => self.custom_send(request),
                Api::Other => Ok(Answer::empty(404)),
            },
        };
        outcome.unwrap_or_else(|ApiRefusal(code)| self.refusal(code, api, request.peer, None))
    }

    /// `code` as WeChat would return it, with its own text or `message`.
    pub(super) fn refusal(&self, code: i64, api: Api, peer: IpAddr, message: Option<&str>) -> Answer {
        let message = message.map_or_else(|| errmsg(code, api, peer, self.clock.unix()), str::to_owned);
        Answer::json(json!({ "errcode": code, "errmsg": message }))
    }

    pub(super) fn account(&mut self, app_id: &str) -> Option<&mut AccountRecord> {
        named(&mut self.accounts, app_id)
    }

    /// The account that a call names by its token, its `appid` or its body, valid or not.
    pub(super) fn app_id_of(&mut self, request: &Request) -> Option<AppId> {
        let token = Secret::new(request.param("access_token"));
        let account = if token.is_blank() {
            self.account(&given(request, "appid"))?
        } else {
            owner(&mut self.accounts, &token, self.clock.now())?.0
        };
        Some(account.config.app_id.clone())
    }

    fn token(&mut self, request: &Request) -> ApiResult {
        let [app_id, grant, secret] = ["appid", "grant_type", "secret"].map(|name| request.param(name));
        let (account, config, clock) = self.holder(Api::Token, [&app_id, &grant, &secret], request.peer)?;
        Ok(token_answer(&account.tokens.classic(config, clock.now())))
    }

    fn stable_token(&mut self, request: &Request) -> ApiResult {
        let body = object(&request.body)?;
        let force = match body.get("force_refresh") {
            None | Some(Value::Null) => false,
            Some(value) => value.as_bool().ok_or(ApiRefusal(47001))?,
        };
        let credentials = ["appid", "grant_type", "secret"].map(|name| text(&body, name));
        let (account, config, clock) = self.holder(Api::StableToken, credentials, request.peer)?;
        let issued = if force {
            account.tokens.stable_forced(config, clock.now(), clock.day())
        } else {
            account.tokens.stable(config, clock.now())
        };
        Ok(token_answer(&issued))
    }

    /// The account with these credentials, once the call is counted against its quota.
    fn holder(&mut self, api: Api, [app_id, grant, secret]: [&str; 3], peer: IpAddr) -> Result<Caller<'_>, ApiRefusal> {
        let account = named(&mut self.accounts, app_id);
        if account.is_none() && !app_id.is_empty() {
            return Err(ApiRefusal(40013));
        }
        if grant != "client_credential" {
            return Err(ApiRefusal(40002));
        }
        let account = account.ok_or(ApiRefusal(41002))?;
        check_secret(account, secret)?;
        let allowed = &self.config.allowed_ips;
        let listed = |ip: &IpAddr| ip.to_canonical() == peer.to_canonical();
        if !allowed.is_empty() && !allowed.iter().any(listed) {
            return Err(ApiRefusal(40164));
        }
        counted(api, (account, &self.config, &self.clock))
    }

    /// The account whose valid token the call carries, once the call is counted against its quota.
    fn caller(&mut self, api: Api, request: &Request) -> Result<Caller<'_>, ApiRefusal> {
        let token = request.param("access_token");
        if token.is_empty() {
            return Err(ApiRefusal(41001));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if token.len() > MAX_TOKEN || !token.bytes().all(allowed) {
            return Err(ApiRefusal(40014));
        }
        let token = Secret::new(token);
        match owner(&mut self.accounts, &token, self.clock.now()) {
            Some((account, Validity::Valid)) => counted(api, (account, &self.config, &self.clock)),
            Some((_, Validity::Expired)) => Err(ApiRefusal(42001)),
            Some((_, Validity::Superseded)) | None => Err(ApiRefusal(40001)),
        }
    }

    fn ticket(&mut self, request: &Request) -> ApiResult {
        let (account, config, clock) = self.caller(Api::GetTicket, request)?;
        let tickets = match &*request.param("type") {
            "jsapi" => &mut account.jsapi_tickets,
            "wx_card" => &mut account.wx_card_tickets,
            _ => return Err(ApiRefusal(40097)),
        };
        let ticket = tickets.get(config.ticket_ttl, clock.now());
        Ok(Answer::json(json!({
            "errcode": 0,
            "errmsg": "ok",
            "ticket": ticket.expose(),
            "expires_in": config.ticket_ttl.as_secs(),
        })))
    }

    fn media_upload(&mut self, request: &Request) -> ApiResult {
        let (account, config, clock) = self.caller(Api::MediaUpload, request)?;
        let kind = request.param("type").into_owned();
        if !matches!(kind.as_str(), "image" | "voice" | "video" | "thumb") {
            return Err(ApiRefusal(40004));
        }
        let parts = form_parts(content_type(&request.head.headers).unwrap_or_default(), &request.body);
        let part = parts.into_iter().find(|part| part.name == "media");
        let part = part.filter(|part| !part.bytes.is_empty()).ok_or(ApiRefusal(41005))?;
        let picture = PictureKind::sniff(&part.bytes);
        let content_type = match kind.as_str() {
            "image" | "thumb" => picture.ok_or(ApiRefusal(40005))?.media_type(),
            "voice" => "audio/amr",
            _ => "video/mp4",
        };
        if picture.is_some() && part.bytes.len() > MAX_IMAGE {
            return Err(ApiRefusal(40009));
        }
        let upload = Upload::new(part.bytes).content_type(content_type);
        let id = account.media.add(upload, config, clock.now());
        let name = if kind == "thumb" { "thumb_media_id" } else { "media_id" };
        Ok(Answer::json(
            json!({ "type": kind, name: id, "created_at": clock.unix() }),
        ))
    }

    fn media_get(&mut self, request: &Request) -> ApiResult {
        let (account, config, clock) = self.caller(Api::MediaGet, request)?;
        let id = request.param("media_id");
        if id.is_empty() {
            return Err(ApiRefusal(41006));
        }
        let file = account.media.get(&id, config, clock.now()).ok_or(ApiRefusal(40007))?;
        if file.content_type.starts_with("video/") {
            let url = format!("http://203.205.138.80/vweixinp.tc.qq.com/{id}.mp4");
            return Ok(Answer::json(json!({ "video_url": url })));
        }
        let mut answer = Answer::new(200, Body::Bytes(file.bytes.clone()))
            .header("Content-Type", file.content_type.clone())
            .header(
                "Content-disposition",
                format!("attachment; filename=\"{}\"", file.filename),
            )
            .header("Cache-Control", "no-cache, must-revalidate");
        // As documented by WeChat.
        answer.close = true;
        Ok(answer)
    }

    fn ip_list(&mut self, api: Api, request: &Request, list: &[&str]) -> ApiResult {
        self.caller(api, request)?;
        Ok(Answer::json(json!({ "ip_list": list })))
    }

    fn clear_quota(&mut self, request: &Request) -> ApiResult {
        let (account, _, clock) = self.caller(Api::ClearQuota, request)?;
        let body = object(&request.body)?;
        if text(&body, "appid") != account.config.app_id.as_str() {
            return Err(ApiRefusal(40013));
        }
        clear(account, clock)
    }

    /// Needs no token, because the quota for tokens may be used up too. WeChat's documentation has the parameters in the
    /// body in its table and in the query in its example; both work here.
    fn clear_quota_v2(&mut self, request: &Request) -> ApiResult {
        let app_id = given(request, "appid");
        if app_id.is_empty() {
            return Err(ApiRefusal(41002));
        }
        let account = named(&mut self.accounts, &app_id).ok_or(ApiRefusal(40013))?;
        check_secret(account, &given(request, "appsecret"))?;
        clear(account, &self.clock)
    }

    fn quota(&mut self, request: &Request) -> ApiResult {
        let (account, config, clock) = self.caller(Api::QuotaGet, request)?;
        let body = object(&request.body)?;
        let path = text(&body, "cgi_path");
        if path.starts_with("/sns/") {
            return Err(ApiRefusal(76022));
        }
        let api = Api::at(path);
        if api == Api::Other {
            return Err(ApiRefusal(76021));
        }
        let (limit, used) = (config.daily_limit(api), account.quotas.used(api, clock));
        let rate = json!({ "call_count": 0, "refresh_second": 0 });
        Ok(Answer::json(json!({
            "errcode": 0,
            "errmsg": "ok",
            "quota": { "daily_limit": limit, "used": used, "remain": limit.saturating_sub(used) },
            "rate_limit": rate,
            "component_rate_limit": rate,
        })))
    }

    fn custom_send(&mut self, request: &Request) -> ApiResult {
        self.caller(Api::CustomSend, request)?;
        object(&request.body)?;
        Ok(Answer::ok())
    }
}

fn named<'a>(accounts: &'a mut [AccountRecord], app_id: &str) -> Option<&'a mut AccountRecord> {
    accounts
        .iter_mut()
        .find(|account| account.config.app_id.as_str() == app_id)
}

fn owner<'a>(
    accounts: &'a mut [AccountRecord],
    token: &Secret,
    now: Instant,
) -> Option<(&'a mut AccountRecord, Validity)> {
    accounts.iter_mut().find_map(|account| {
        let validity = account.tokens.validity(token, now)?;
        Some((account, validity))
    })
}

fn check_secret(account: &AccountRecord, secret: &str) -> Result<(), ApiRefusal> {
    if secret.is_empty() {
        return Err(ApiRefusal(41004));
    }
    if account.config.secret != Secret::new(secret) {
        return Err(ApiRefusal(40125));
    }
    Ok(())
}

/// Counts the call against the account's quota.
fn counted(api: Api, caller: Caller<'_>) -> Result<Caller<'_>, ApiRefusal> {
    let (account, config, clock) = caller;
    if !account.quotas.spend(api, config, clock) {
        return Err(ApiRefusal(45009));
    }
    Ok((account, config, clock))
}

fn token_answer(issued: &TokenAnswer) -> Answer {
    Answer::json(json!({ "access_token": issued.token.expose(), "expires_in": issued.expires_in }))
}

fn clear(account: &mut AccountRecord, clock: &Clock) -> ApiResult {
    if account.quotas.clear(clock) {
        Ok(Answer::ok())
    } else {
        Err(ApiRefusal(48006))
    }
}

fn object(body: &Bytes) -> Result<serde_json::Map<String, Value>, ApiRefusal> {
    if body.is_empty() {
        return Err(ApiRefusal(44002));
    }
    serde_json::from_slice(body).map_err(|_| ApiRefusal(47001))
}

/// The parameter with this name in the query or, without one, in the body.
fn given(request: &Request, name: &str) -> String {
    match request.param(name) {
        query if !query.is_empty() => query.into_owned(),
        _ => object(&request.body).map_or_else(|_| String::new(), |body| text(&body, name).to_owned()),
    }
}

fn text<'a>(body: &'a serde_json::Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}
