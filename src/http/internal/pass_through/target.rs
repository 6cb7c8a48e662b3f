//! Which requests may be passed through, by host and path.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Scheme;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Internal;
use crate::http::internal::answer::Refusal;
use crate::http::internal::spelling::{STABLE_TOKEN, TOKEN};
use crate::http::serve::LocalAddress;
use crate::settings::Settings;
use crate::settings::values::host_ip;
use crate::wechat::ApiPath;

/// True if `uri` names no host, or one for which this listener answers requests in absolute form (as sent to a forward
/// proxy): WeChat's and its own.
fn is_ours(uri: &Uri, local: Option<&LocalAddress>, settings: &Settings) -> bool {
    let Some(authority) = uri.authority() else {
        return true;
    };
    let (host, port) = (authority.host(), authority.port_u16());
    let scheme_port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let wechat = &settings.wechat.api_base_url;
    // A program configured to use a proxy may send it http://api.weixin.qq.com.
    let is_wechat = host.eq_ignore_ascii_case(wechat.host())
        && port.is_none_or(|port| matches!(port, 80 | 443) || Some(port) == wechat.port());
    let is_named = settings.internal.allowed_hosts.iter().any(|name| name.matches(host));
    let is_own = |LocalAddress(local): &LocalAddress| is_own(host, port.unwrap_or(scheme_port), *local);
    is_wechat || is_named || local.is_some_and(is_own)
}

/// True if `host` and `port` are the local address of the connection.
fn is_own(host: &str, port: u16, local: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    let is_ip = host_ip(host).is_some_and(|named| named.to_canonical() == ip);
    let is_host = is_ip || ip.is_loopback() && host.eq_ignore_ascii_case("localhost");
    is_host && port == local.port()
}

/// A layer that refuses requests for another server.
pub(in crate::http::internal) async fn refuse_other_targets(
    State(settings): State<Arc<Settings>>,
    request: Request,
    next: Next,
) -> Response {
    let words = if request.method() == Method::CONNECT {
        "this gateway does not support CONNECT"
    } else if is_ours(request.uri(), request.extensions().get(), &settings) {
        return next.run(request).await;
    } else {
        "this gateway only proxies requests to WeChat (wechat.api_base_url)"
    };
    Refusal::not_passed(words)
        .because("not a target of this gateway")
        .into_response()
}

/// What a mistyped path or a wrong port must not send to WeChat: the first path segments of wxgate's own routes.
const OWN: [&str; 11] = [
    "credentials",
    "console",
    "metrics",
    "healthz",
    "readyz",
    "p",
    "wechat",
    "images",
    "docs",
    "openapi.json",
    "sandbox",
];

/// Paths that take an AppSecret rather than a token.
const TAKE_SECRET: [&str; 3] = [
    "/sns/oauth2/access_token",
    "/sns/jscode2session",
    "/cgi-bin/clear_quota/v2",
];

/// True for paths that take an AppSecret.
pub(super) fn takes_secret(path: &ApiPath) -> bool {
    TAKE_SECRET.into_iter().any(|taking| path.is(taking))
}

/// True for calls with users' tokens (OAuth): a 40001 there says nothing about the account's token.
pub(super) fn is_of_users(path: &ApiPath) -> bool {
    path.is_below("sns")
}

impl Internal {
    /// The path that `call` is passed to.
    pub(super) fn path_of(&self, call: &Parts) -> Result<ApiPath, Refusal> {
        if !self.public.settings.load().internal.proxy {
            let why = "internal.proxy is off: this gateway does not pass calls through";
            return Err(Refusal::not_passed(why));
        }
        let path = ApiPath::parse(call.uri.path()).ok_or_else(|| {
            Refusal::not_passed("no such path; write it with letters, digits, -, _ and single slashes only")
        })?;
        // A route of ours with another method or another case would fetch a token behind the gateway's back, which
        // invalidates the one in use.
        if path.is(TOKEN) || path.is(STABLE_TOKEN) {
            let why = format!("no such path; write {TOKEN} or {STABLE_TOKEN}");
            return Err(Refusal::not_passed(why));
        }
        if OWN.into_iter().any(|segment| path.is_below(segment)) {
            return Err(Refusal::not_passed("no such path"));
        }
        Ok(path)
    }
}
