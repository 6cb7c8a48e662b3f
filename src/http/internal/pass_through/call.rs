//! One call: made, and made again if WeChat rejects its token.
//!
//! If the token is one of ours, another one is obtained (C4), and the call is repeated with it if its body was kept.

use std::io;
use std::net::IpAddr;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::stream::{StreamExt, TryStreamExt};

use super::body::{Received, SMALL};
use super::peeked_body::PeekedBody;
use super::target::{is_of_users, takes_secret};
use super::{Internal, headers, parameters};
use crate::http::ClientAddress;
use crate::http_client::{self, ReadError};
use crate::secret::Secret;
use crate::wechat::{ApiPath, CallBody, CallError, CallHead, TokenRejection};

/// The parameter that carries a token.
pub(super) const ACCESS_TOKEN: &str = "access_token";

/// Retries after a rejected token: a call with an older token is retried with the current one, which may turn
/// out to be invalid too.
const MAX_RETRIES: usize = 2;

/// A request that is passed through.
pub(super) struct ProxiedCall<'a> {
    pub(super) internal: &'a Internal,
    pub(super) head: CallHead,
    /// The account's token that it carries, if that is unambiguous.
    pub(super) token: Option<Secret>,
    /// The address that it comes from.
    pub(super) caller: IpAddr,
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

impl<'a> ProxiedCall<'a> {
    pub(super) fn new(internal: &'a Internal, parts: &Parts, path: ApiPath) -> Self {
        let query = parts.uri.query().map(str::to_owned);
        let ClientAddress(caller) = parts.extensions.get().copied().unwrap_or_default();
        Self {
            internal,
            token: token_of(&path, query.as_deref().unwrap_or_default()),
            head: CallHead {
                method: parts.method.clone(),
                path,
                query,
                headers: headers::of_call(&parts.headers),
            },
            caller,
        }
    }

    /// True if it carries any token.
    pub(super) fn has_token(&self) -> bool {
        let tokens = parameters::values(self.head.query.as_deref().unwrap_or_default(), ACCESS_TOKEN);
        tokens.iter().any(|token| !token.trim().is_empty())
    }

    /// True if its path is one for an account's token.
    pub(super) fn takes_account_token(&self) -> bool {
        !is_of_users(&self.head.path) && !takes_secret(&self.head.path)
    }

    pub(super) async fn run(mut self, received: Received) -> Result<Response, CallError> {
        let again = match &received.body {
            CallBody::Whole(whole) => Some(whole.clone()),
            CallBody::Stream(..) => None,
        };
        let mut answer = self.call(received.body).await?;
        for _ in 0..MAX_RETRIES {
            let renewed = self.replace_token(answer.rejection()).await;
            let (TokenState::Replaced(token), Some(whole)) = (renewed, &again) else {
                return Ok(answer.into_response());
            };
            tracing::info!(
                token = token.fingerprint(),
                "WeChat rejected the token of a call that is passed through; it is retried with this one"
            );
            self.head.query = self
                .head
                .query
                .map(|query| parameters::replaced(&query, ACCESS_TOKEN, &token));
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
        let (status, headers) = (response.status(), headers::of_answer(response.headers()));
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
        let Some((account, ours)) = self.internal.owner_of(token).await else {
            return TokenState::Untouched;
        };
        let renewed = account.credentials.replacement_for(&ours, &rejection).await;
        let renewed = renewed.ok().filter(|renewed| renewed.value != *token);
        renewed.map_or(TokenState::Lost, |renewed| TokenState::Replaced(renewed.value.clone()))
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

/// The account's token in `query`, or in a form. With several, WeChat may use any of them.
pub(super) fn token_of(path: &ApiPath, query: &str) -> Option<Secret> {
    let mut tokens = parameters::values(query, ACCESS_TOKEN);
    let token = tokens.pop().filter(|_| tokens.is_empty() && !is_of_users(path));
    token.map(Secret::new).filter(|token| !token.is_blank())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_or_users_token_is_left_alone() {
        let token = |path: &str, query: &str| {
            let path = ApiPath::parse(path).unwrap();
            token_of(&path, query).map(|token| token.expose().to_owned())
        };
        assert_eq!(token("/cgi-bin/x", "a=1&access_token=t%2D1").as_deref(), Some("t-1"));
        assert_eq!(token("/cgi-bin/x", "access%5Ftoken=t").as_deref(), Some("t"));
        for (path, query) in [
            ("/cgi-bin/x", ""),
            ("/cgi-bin/x", "access_token="),
            ("/cgi-bin/x", "access_token=t&access_token=t"),
            ("/sns/userinfo", "access_token=t&openid=o"),
            ("//sns/auth", "access_token=t"),
            ("/SNS/auth", "access_token=t"),
        ] {
            assert_eq!(token(path, query), None, "{path}?{query}");
        }
    }
}
