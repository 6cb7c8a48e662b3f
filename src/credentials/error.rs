//! How credentials, and calls made with them, fail.

use std::time::Duration;

use crate::wechat::{CallError, ErrCode, Meaning};

/// No usable credential is available now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// Why, as the log, the internal listener's answers, `/readyz` and the console show it.
    pub reason: String,
    /// WeChat's refusal, if that is the reason.
    pub errcode: Option<ErrCode>,
    /// When to ask again.
    pub retry_after: Duration,
}

impl Unavailable {
    /// The gateway shuts down before WeChat has answered.
    pub(super) fn shutting_down() -> Self {
        Self::soon("the gateway shuts down")
    }

    /// WeChat has no other token than the one that it rejects.
    pub(super) fn reissued() -> Self {
        Self::soon("WeChat goes on issuing the token that it rejects")
    }

    /// A passing cause: worth asking again in a second.
    pub(super) fn soon(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            errcode: None,
            retry_after: Duration::from_secs(1),
        }
    }
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

/// True if WeChat says that the token is not, or no longer, good.
pub(super) fn rejects_token(error: &CallError) -> bool {
    error
        .errcode()
        .is_some_and(|code| code.meaning() == Meaning::TokenRejected)
}
