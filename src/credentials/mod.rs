//! The account's one `access_token` and `jsapi_ticket`: kept, renewed, healed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::account::AppId;
use crate::secret::Secret;
use crate::wechat::{CallError, ErrCode};

/// An `access_token` or a `jsapi_ticket`, and when it ends.
#[derive(Debug)]
pub struct Credential {
    /// The token or ticket itself.
    pub value: Secret,
    /// When it ends.
    pub expires_at: tokio::time::Instant,
}

/// No usable credential is to be had now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// Why, for the log.
    pub reason: String,
    /// WeChat's refusal, where that is the reason.
    pub errcode: Option<ErrCode>,
    /// When to ask again.
    pub retry_after: Duration,
}

/// How a call that needs the token fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenCallError {
    /// There was no token to make it with.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// WeChat failed, with a good token.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// One account's credentials. Cheap to share.
pub struct AccountCredentials {}

impl AccountCredentials {
    /// The account's name.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        unimplemented!()
    }

    /// Makes `call` with the current token; where WeChat rejects that token, it is renewed once for
    /// the whole cluster and the call is made once more (C4).
    pub async fn with_token<T, F, Fut>(self: &Arc<Self>, call: F) -> Result<T, TokenCallError>
    where
        F: Fn(Arc<Credential>) -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let _ = call;
        unimplemented!()
    }
}
