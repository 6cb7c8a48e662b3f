//! One token or ticket, and what causes its renewal.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::account::AppId;
use crate::clock::Moment;
use crate::secret::Secret;
use crate::settings;
use crate::store::keys;

/// Which of an account's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    AccessToken,
    JsapiTicket,
    /// The ticket for cards.
    CardTicket,
}

impl Kind {
    /// Its name in metrics, logs, the journal and the operator's routes.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::AccessToken => "access_token",
            Kind::JsapiTicket => "jsapi_ticket",
            Kind::CardTicket => "card_ticket",
        }
    }

    /// Its key in the shared store.
    pub(crate) fn key(self, settings: &settings::Credentials, app_id: &AppId) -> String {
        match self {
            Kind::AccessToken => keys::token(settings, app_id),
            Kind::JsapiTicket => keys::ticket(settings, app_id),
            Kind::CardTicket => keys::card_ticket(app_id),
        }
    }
}

/// An `access_token` or a ticket. It never changes; a renewal makes another one.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) value: Secret,
    /// The first 8 hex digits of its SHA-256, which name it in logs.
    pub(crate) fingerprint: String,
    /// When this process obtained it.
    pub(crate) held_since: Moment,
    pub(crate) expires_at: Moment,
    /// When the refresher renews it, unless another replica was faster.
    pub(crate) renew_at: Moment,
}

impl Credential {
    pub(crate) fn is_usable(&self) -> bool {
        Moment::now() < self.expires_at
    }

    /// Its whole life here.
    pub(super) fn life(&self) -> Duration {
        self.expires_at.saturating_duration_since(self.held_since)
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.expires_at.saturating_duration_since(Moment::now())
    }
}

/// What names a token in the shared store: so much of its SHA-256 that it can't be guessed.
pub(super) fn name_in_store(token: &Secret) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    hex::encode(&digest[..16])
}

/// What caused a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// There is no credential.
    Missing,
    /// Its end is near.
    Expiring,
    /// A ticket about which WeChat was not asked for `ticket_max_age`.
    Aged,
    /// WeChat rejected the one before.
    Rejected,
    /// A token call went unanswered, so the token may have been replaced.
    Unanswered,
    /// An operator wants it.
    Operator,
}

impl Trigger {
    /// Its name in metrics, the journal and traces.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Trigger::Missing => "missing",
            Trigger::Expiring => "expiring",
            Trigger::Aged => "aged",
            Trigger::Rejected => "rejected",
            Trigger::Unanswered => "in_doubt",
            Trigger::Operator => "operator",
        }
    }
}
