//! The account's one `access_token` and `jsapi_ticket`: kept for the whole cluster, renewed ahead of
//! their end, healed when they die.
//!
//! A request reads a [`Credential`] from the account's cell, with one atomic load. Everything else
//! happens beside it: the [`Keeper`] looks after an account in the background, a renewal is a task of
//! its own that any number of callers wait for, and the [`SharedStore`](crate::store::SharedStore)
//! holds what the replicas share: token, ticket, lock, the day's count of calls, the journal.

mod account;
mod backoff;
mod budget;
mod credential;
mod doubt;
mod exchange;
mod handed_out;
mod issuer;
mod jitter;
mod journal;
mod keeper;
mod lock;
mod metrics;
mod past;
mod policy;
mod renewal;
mod report;
mod shelf;
#[cfg(test)]
mod simulation;
mod suspicion;
mod ticket;

use std::time::Duration;

use crate::wechat::{CallError, ErrCode};

pub use account::{AccountCredentials, Services, Status};
pub use credential::{Credential, Kind};
pub use handed_out::Ours;
pub use issuer::{Issuer, WeChatIssuer};
pub use jitter::Jitter;
pub use journal::{Event, Journal};
pub use keeper::Keeper;
pub use metrics::CredentialMetrics;
pub use policy::Policy;

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

impl Unavailable {
    /// The gateway ends before WeChat has answered.
    fn ending() -> Self {
        Self::soon("the gateway ends")
    }

    /// A passing cause: worth asking again in a second.
    fn soon(reason: impl Into<String>) -> Self {
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
