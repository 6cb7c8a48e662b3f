//! One call: made, and repeated if WeChat rejects its token.
//!
//! If the token is one of ours, another one is obtained (C4), and the call is repeated with it if its body was kept.
//!
//! A token of ours that is known to be old is replaced before the call goes out: an SDK may keep it for its promised
//! lifetime, even after WeChat has rejected it, and a large upload can't be repeated.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::answered::Answered;
use super::body::ReceivedBody;
use super::target::is_of_users;
use super::{Internal, headers, parameters};
use crate::credentials::Recognised;
use crate::http::internal::answer::Refusal;
use crate::http::{ClientAddress, media_type};
use crate::secret::Secret;
use crate::wechat::{ApiPath, CallBody, CallError, CallHead, TokenRejection};

/// The name of the parameter that carries a token.
const ACCESS_TOKEN: &str = "access_token";

/// Retries after a rejected token: a call with an older token is retried with the current one, which may turn out to be
/// invalid too.
const MAX_RETRIES: usize = 2;

/// A request to be passed through.
pub(super) struct ProxiedCall<'a> {
    pub(super) internal: &'a Internal,
    pub(super) head: CallHead,
    /// The account's token that it carries, if that is unambiguous.
    pub(super) token: Option<Secret>,
    /// The address that it comes from.
    pub(super) caller: IpAddr,
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

    /// True if it carries a token of another kind, such as a `component_access_token`: WeChat expects only that one.
    pub(super) fn has_token_of_another_kind(&self) -> bool {
        parameters::pairs(self.head.query.as_deref().unwrap_or_default())
            .any(|(name, _)| name != ACCESS_TOKEN && name.ends_with(ACCESS_TOKEN))
    }

    /// Replaces the token in the query if it is a former one of ours.
    pub(super) async fn replace_token_in_query(&mut self) -> Result<(), Refusal> {
        if let Some(token) = &self.token
            && let Some(current) = self.replacement_for(token).await?
        {
            self.set_token(current);
        }
        Ok(())
    }

    /// Puts `token` into the query, replacing the one that is there.
    pub(super) fn set_token(&mut self, token: Secret) {
        let query = parameters::with(self.head.query.as_deref(), ACCESS_TOKEN, &token);
        self.head.query = Some(query);
        self.token = Some(token);
    }

    /// Replaces the token in the posted form in the same way, if there is no token in the query.
    pub(super) async fn replace_token_in_form(&self, body: &mut Bytes) -> Result<(), Refusal> {
        if media_type(&self.head.headers) == "application/x-www-form-urlencoded"
            && !self.has_token()
            && let Ok(form) = str::from_utf8(body)
            && let Some(token) = token_of(&self.head.path, form)
            && let Some(current) = self.replacement_for(&token).await?
        {
            *body = parameters::replaced(form, ACCESS_TOKEN, &current).into();
        }
        Ok(())
    }

    /// The current token, if `token` is a former one of ours.
    async fn replacement_for(&self, token: &Secret) -> Result<Option<Secret>, Refusal> {
        let Some((account, Recognised::Former)) = self.internal.owner_of(token).await else {
            return Ok(None);
        };
        let current = account.credentials.token().await;
        let current = current.map_err(|unavailable| self.internal.unavailable(&unavailable))?;
        tracing::debug!(
            app_id = %account.app_id(),
            former = token.fingerprint(),
            token = current.fingerprint,
            "the token of a passed-through call is no longer current; the current one is sent instead"
        );
        Ok(Some(current.value.clone()))
    }

    pub(super) async fn run(mut self, received: ReceivedBody) -> Result<Response, CallError> {
        let kept = match &received.body {
            CallBody::Whole(whole) => Some(whole.clone()),
            CallBody::Stream(..) => None,
        };
        let mut answer = self.call(received.body).await?;
        for _ in 0..MAX_RETRIES {
            let renewed = self.replace_token(answer.rejection()).await;
            let (Some(token), Some(whole)) = (renewed, &kept) else {
                return Ok(answer.into_response());
            };
            tracing::info!(
                token = token.fingerprint(),
                "WeChat rejected the token of a passed-through call; it is retried with this one"
            );
            self.set_token(token);
            answer = self.call(CallBody::Whole(whole.clone())).await?;
        }
        // A token that is rejected in the last attempt is replaced too; the caller gets WeChat's response.
        self.replace_token(answer.rejection()).await;
        Ok(answer.into_response())
    }

    /// Makes the call. A body that may be an error is read; any other is streamed.
    async fn call(&self, body: CallBody) -> Result<Answered, CallError> {
        let wechat = &self.internal.wechat;
        let mut answer = Answered::new(wechat.forward(&self.head, body).await?, wechat.stall_limit());
        if self.token.is_some() {
            let broken = |_| CallError::Interrupted("the answer was truncated".to_owned());
            answer.read_error().await.map_err(broken)?;
        }
        Ok(answer)
    }

    /// Obtains another token if WeChat has rejected one of ours; `None` if there is no other.
    async fn replace_token(&self, rejection: Option<TokenRejection>) -> Option<Secret> {
        let (token, rejection) = (self.token.as_ref()?, rejection?);
        let (account, ours) = self.internal.owner_of(token).await?;
        let renewed = account
            .credentials
            .token_after_rejection(&ours, self.head.path.as_str(), rejection)
            .await
            .ok()?;
        (renewed.value != *token).then(|| renewed.value.clone())
    }
}

/// The account's token in `query` or in a form. `None` if there are several: WeChat may use any of them.
fn token_of(path: &ApiPath, query: &str) -> Option<Secret> {
    let mut tokens = parameters::values(query, ACCESS_TOKEN);
    let token = tokens.pop().filter(|_| tokens.is_empty() && !is_of_users(path));
    token.map(Secret::new).filter(|token| !token.is_blank())
}
