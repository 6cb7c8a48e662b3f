//! The pass-through: every other path of WeChat's API, as the caller sent it and as WeChat answers.
//!
//! One thing is done besides passing bytes on: if WeChat rejects the token of a call, and the token is
//! one of ours, another one is obtained (C4), and the call is retried with it if its body was kept.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, TryStreamExt};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer::Refusal;
use super::hop_headers::end_to_end;
use super::peeked_body::PeekedBody;
use super::state::Internal;
use super::token::params;
use crate::http::middleware::FailureReason;
use crate::http_client::{self, ReadError};
use crate::secret::Secret;
use crate::telemetry::PROPAGATED;
use crate::wechat::{ApiPath, CallBody, CallError, CallHead, TokenRejection};

/// Bodies up to this length are kept: of a request, to retry it; of a response, to look for an error.
const SMALL: usize = 64 * 1024;

/// The parameter that carries a token.
const TOKEN: &str = "access_token";

/// Retries after a rejected token: a call with an older token is retried with the current one, which may turn
/// out to be invalid too.
const MAX_RETRIES: usize = 2;

/// Passes a request through.
pub(super) async fn pass_through(State(internal): State<Arc<Internal>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(path) = ApiPath::parse(parts.uri.path()) else {
        return Refusal::not_passed("no such path").into_response();
    };
    if let Some(refusal) = internal.refuses_to_pass(&parts, &path) {
        return refusal.into_response();
    }
    let call = ProxiedCall {
        token: token_of(&path, &parts.uri),
        head: call_head(&parts, path),
        internal: &internal,
    };
    call.run(body).await.unwrap_or_else(|error| {
        let reason = FailureReason(error.to_string());
        (axum::Extension(reason), Refusal::from(error)).into_response()
    })
}

impl Internal {
    /// Checks the path as it was received, and as it would be `sent`.
    fn refuses_to_pass(&self, call: &Parts, sent: &ApiPath) -> Option<Refusal> {
        let came = percent_decode_str(call.uri.path()).decode_utf8_lossy();
        let sent = percent_decode_str(sent.as_str()).decode_utf8_lossy();
        let plain: Vec<_> = sent.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
        match plain.as_slice() {
            _ if !self.proxy => Some("internal.proxy is off: this gateway passes nothing through"),
            _ if call.method == Method::CONNECT => Some("this gateway makes no tunnels"),
            // A server that normalises the path would use another one than was checked here.
            _ if came.split(['/', '\\']).any(|part| matches!(part, "." | "..")) => {
                Some("no such path; write it without dots")
            }
            // Another spelling of a route of ours would fetch a token behind the gateway's back and end its own.
            ["cgi-bin", "token" | "stable_token"] => {
                Some("no such path; write /cgi-bin/token or /cgi-bin/stable_token")
            }
            // A mistyped path or a wrong port must not send a key to WeChat.
            [
                "credentials" | "console" | "metrics" | "healthz" | "readyz" | "p" | "wechat",
                ..,
            ] => Some("no such path"),
            _ => None,
        }
        .map(Refusal::not_passed)
    }
}

/// The token that a call carries, if that is unambiguous.
fn token_of(path: &ApiPath, uri: &Uri) -> Option<Secret> {
    // Those are users' tokens (OAuth); a 40001 there says nothing about the account's token.
    let of_users = path.as_str().trim_start_matches('/').starts_with("sns/");
    // With several, WeChat may use any of them.
    let mut tokens = params(uri, TOKEN);
    let token = tokens.pop().filter(|_| tokens.is_empty() && !of_users);
    token.map(Secret::new).filter(|token| !token.is_blank())
}

fn call_head(parts: &Parts, path: ApiPath) -> CallHead {
    let mut headers = end_to_end(&parts.headers);
    headers.remove(header::HOST);
    headers.remove(header::EXPECT);
    // An error in a compressed response could not be read.
    headers.remove(header::ACCEPT_ENCODING);
    for name in PROPAGATED {
        headers.remove(name);
    }
    CallHead {
        method: parts.method.clone(),
        path,
        query: parts.uri.query().map(str::to_owned),
        headers,
    }
}

/// A request that is passed through.
struct ProxiedCall<'a> {
    internal: &'a Internal,
    head: CallHead,
    /// The token that it carries.
    token: Option<Secret>,
}

/// WeChat's response, with as much of the body as had to be read.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: PeekedBody<ReadError>,
}

/// The state of a call's token after the response.
enum TokenState {
    /// WeChat accepted it, or it is not ours.
    Untouched,
    /// WeChat rejected it, and this one replaces it.
    Replaced(Secret),
    /// WeChat rejected it, and no other one is available.
    Lost,
}

impl ProxiedCall<'_> {
    async fn run(mut self, body: Body) -> Result<Response, CallError> {
        let mut body = PeekedBody::of(body.into_data_stream().map_err(io::Error::other).boxed());
        body.read_beyond(SMALL, self.internal.wechat.stall_limit())
            .await
            .map_err(|_| CallError::Interrupted("the caller's own body did not arrive".to_owned()))?;
        let (first, again) = match body.into_body() {
            Ok(whole) => (CallBody::Whole(whole.clone()), Some(whole)),
            Err(stream) => (CallBody::Stream(stream), None),
        };
        let mut answer = self.call(first).await?;
        for _ in 0..MAX_RETRIES {
            let renewed = self.replace_token(answer.rejection()).await;
            let (TokenState::Replaced(token), Some(whole)) = (renewed, &again) else {
                return Ok(answer.into_response());
            };
            tracing::info!(
                token = token.fingerprint(),
                "WeChat rejected the token of a call that is passed through; it is retried with this one"
            );
            self.head.query = self.head.query.map(|query| with_token(&query, &token));
            self.token = Some(token);
            answer = self.call(CallBody::Whole(whole.clone())).await?;
        }
        // A token that is rejected even then is replaced too; the caller gets WeChat's response.
        self.replace_token(answer.rejection()).await;
        Ok(answer.into_response())
    }

    /// Makes the call. A body that may be an error is read; any other is streamed.
    async fn call(&self, body: CallBody) -> Result<Answered, CallError> {
        let stall = self.internal.wechat.stall_limit();
        let response = self.internal.wechat.forward(&self.head, body).await?;
        let (status, headers) = (response.status(), end_to_end(response.headers()));
        let mut body = PeekedBody::of(http_client::chunks(response, stall).boxed());
        if self.token.is_some() && status == StatusCode::OK {
            let broken = |_| CallError::Interrupted("the answer broke off".to_owned());
            body.read_beyond(0, stall).await.map_err(broken)?;
            if body.head().trim_ascii_start().first() == Some(&b'{') {
                body.read_beyond(SMALL, stall).await.map_err(broken)?;
            }
        }
        Ok(Answered { status, headers, body })
    }

    /// Obtains another token if WeChat has rejected one of ours.
    async fn replace_token(&self, rejection: Option<TokenRejection>) -> TokenState {
        let (Some(token), Some(rejection)) = (&self.token, rejection) else {
            return TokenState::Untouched;
        };
        for account in self.internal.api.directory.all() {
            if let Some(outcome) = account.credentials.replacement_for(token, &rejection).await {
                let renewed = outcome.ok().filter(|renewed| renewed.value != *token);
                return renewed.map_or(TokenState::Lost, |renewed| TokenState::Replaced(renewed.value.clone()));
            }
        }
        TokenState::Untouched
    }
}

impl Answered {
    /// WeChat's refusal of the call's token, if the answer is one.
    fn rejection(&self) -> Option<TokenRejection> {
        let body = self.body.head();
        let may_be = self.body.is_whole() && body.trim_ascii_start().first() == Some(&b'{');
        may_be.then(|| TokenRejection::in_answer(&self.headers, body)).flatten()
    }

    fn into_response(self) -> Response {
        let broken = |error: ReadError| io::Error::other(format!("{error:?}"));
        let body = match self.body.into_body() {
            Ok(whole) => Body::from(whole),
            Err(stream) => Body::from_stream(stream.map_err(broken)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// `query` with its token replaced by `token`; every other byte is unchanged.
fn with_token(query: &str, token: &Secret) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if percent_decode_str(name).eq(TOKEN.bytes()) => {
            format!("{name}={}", utf8_percent_encode(token.expose(), NON_ALPHANUMERIC))
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_replaced_and_the_rest_of_the_query_kept() {
        let query = "a=%7e&access_token=old&type=a+b&access_tokens=1&=&b";
        assert_eq!(
            with_token(query, &Secret::new("n-w_1")),
            "a=%7e&access_token=n%2Dw%5F1&type=a+b&access_tokens=1&=&b"
        );
        assert_eq!(
            with_token("access%5ftoken=old", &Secret::new("new")),
            "access%5ftoken=new"
        );
    }

    #[test]
    fn ambiguous_or_users_token_is_left_alone() {
        let token = |uri: &'static str| {
            let uri = Uri::from_static(uri);
            let path = ApiPath::parse(uri.path()).unwrap();
            token_of(&path, &uri).map(|token| token.expose().to_owned())
        };
        assert_eq!(token("/cgi-bin/x?a=1&access_token=t%2D1").as_deref(), Some("t-1"));
        assert_eq!(token("/cgi-bin/x?access%5Ftoken=t").as_deref(), Some("t"));
        for uri in [
            "/cgi-bin/x",
            "/cgi-bin/x?access_token=",
            "/cgi-bin/x?access_token=t&access_token=t",
            "/sns/userinfo?access_token=t&openid=o",
            "//sns/auth?access_token=t",
        ] {
            assert_eq!(token(uri), None, "{uri}");
        }
    }
}
