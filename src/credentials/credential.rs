//! One token or ticket, and the cell that requests read it from.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::secret::Secret;

/// Which of an account's two credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `access_token`.
    AccessToken,
    /// `jsapi_ticket`.
    JsapiTicket,
}

impl Kind {
    /// Both kinds; the token first, because the ticket is obtained with it.
    pub const ALL: [Kind; 2] = [Kind::AccessToken, Kind::JsapiTicket];

    /// Its name in metrics, logs, the journal and the operator's routes.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Kind::AccessToken => "access_token",
            Kind::JsapiTicket => "jsapi_ticket",
        }
    }
}

/// An `access_token` or a `jsapi_ticket`. It never changes; a renewal makes another one.
#[derive(Debug)]
pub struct Credential {
    /// The token or ticket itself.
    pub value: Secret,
    /// The first 8 hex digits of its SHA-256, which name it in logs.
    pub fingerprint: String,
    /// When this process obtained it.
    pub held_since: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// When the refresher renews it, unless another replica was faster.
    pub renew_at: Instant,
}

impl Credential {
    /// True until it ends.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        Instant::now() < self.expires_at
    }

    /// Its whole life here.
    pub(super) fn life(&self) -> Duration {
        self.expires_at.saturating_duration_since(self.held_since)
    }

    /// What is left of its life.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.expires_at.saturating_duration_since(Instant::now())
    }
}

/// Where requests read a credential: one atomic load, no lock.
#[derive(Default)]
pub(super) struct Cell(ArcSwapOption<Credential>);

impl Cell {
    /// What is held, ended or not.
    pub(super) fn held(&self) -> Option<Arc<Credential>> {
        self.0.load_full()
    }

    /// What is held and has not ended.
    pub(super) fn usable(&self) -> Option<Arc<Credential>> {
        self.held().filter(|credential| credential.is_usable())
    }

    /// Reads what is held and has not ended, without counting a reference: for the hot path.
    pub(super) fn with_usable<T>(&self, read: impl FnOnce(&Credential) -> T) -> Option<T> {
        self.0
            .load()
            .as_deref()
            .filter(|credential| credential.is_usable())
            .map(read)
    }

    /// Holds `credential` from now on; returns what was held before.
    pub(super) fn hold(&self, credential: Arc<Credential>) -> Option<Arc<Credential>> {
        self.0.swap(Some(credential))
    }

    /// Empties the cell, but only of `value`: a newer one stays.
    pub(super) fn drop_if_still(&self, value: &Secret) {
        let held = self.0.load();
        if held.as_ref().is_some_and(|held| held.value == *value) {
            self.0.compare_and_swap(&held, None);
        }
    }
}
