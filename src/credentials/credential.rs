//! One token or ticket: its lifetime, what triggers its renewal, and why it may be missing.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::account::AppId;
use crate::clock::Moment;
use crate::labelled::labelled;
use crate::secret::Secret;
use crate::settings;
use crate::store::keys;
use crate::wechat::{CallError, ErrCode, Meaning};

labelled! {
    /// Which of an account's credentials.
    pub(crate) enum Kind {
        AccessToken = "access_token",
        JsapiTicket = "jsapi_ticket",
        CardTicket = "card_ticket",
    }
}

impl Kind {
    /// The credential's key in the shared store.
    pub(crate) fn key(self, settings: &settings::Credentials, app_id: &AppId) -> String {
        match self {
            Kind::AccessToken => settings.token_key.fill(app_id),
            Kind::JsapiTicket => settings.ticket_key.fill(app_id),
            Kind::CardTicket => keys::CARD_TICKET.of_account(app_id),
        }
    }
}

/// An `access_token` or a ticket. Immutable; a renewal creates a new one.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) value: Secret,
    /// The first 8 hex digits of the value's SHA-256, which identify it in logs.
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

    /// A tenth of its lifetime in this process, but at most a minute.
    pub(super) fn tenth_of_lifetime(&self) -> Duration {
        let lifetime = self.expires_at.saturating_duration_since(self.held_since);
        Duration::from_mins(1).min(lifetime / 10)
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.expires_at.saturating_duration_since(Moment::now())
    }
}

/// How long credentials are kept, and when they are renewed.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) settings: Arc<settings::Credentials>,
    /// The maximum duration of a token call, all hosts together.
    pub(crate) call_limit: Duration,
    /// Keeps replicas from acting in lockstep.
    pub(crate) jitter: Jitter,
}

/// If WeChat returns a ticket that has expired or is about to, WeChat has just confirmed it. It is kept for this long, and
/// WeChat is asked again a quarter earlier: before the alert on credentials that expire within two minutes.
const CONFIRMED_LIFETIME: Duration = Duration::from_mins(10);

/// When WeChat is asked for a ticket again, as a fraction of `ticket_max_age`. Random, because after a start the tickets
/// of all accounts have the same age.
const ASKED_AGAIN: RangeInclusive<f64> = 0.95..=1.0;

impl Policy {
    pub(crate) fn new(credentials: &settings::Credentials, wechat: &settings::WeChat) -> Self {
        Self {
            settings: Arc::new(credentials.clone()),
            call_limit: wechat.call_limit(),
            jitter: Jitter::random(),
        }
    }

    /// `value` as a credential that expires at `expires_at`, with the moment of its renewal.
    ///
    /// The margin is at most a quarter of the remaining lifetime. So a credential whose lifetime WeChat shortens is not
    /// renewed in a loop. Neither is a stable token, whose renewal returns the same token until its last five minutes:
    /// each renewal leaves a quarter of what remained. Margin and age are shortened at random, so that neither replicas
    /// nor accounts renew in lockstep.
    pub(super) fn credential(&self, kind: Kind, value: Secret, expires_at: Moment) -> Credential {
        let now = Moment::now();
        let lifetime = expires_at.saturating_duration_since(now);
        let margin = self.settings.refresh_ahead.min(lifetime / 4);
        let margin = self.jitter.spread(margin, 0.9..=1.0);
        let ahead = now + lifetime.saturating_sub(margin);
        let renew_at = match kind {
            Kind::AccessToken => ahead,
            Kind::JsapiTicket | Kind::CardTicket => {
                ahead.min(now + self.jitter.spread(self.settings.ticket_max_age, ASKED_AGAIN))
            }
        };
        Credential {
            fingerprint: value.fingerprint(),
            value,
            held_since: now,
            expires_at,
            renew_at,
        }
    }

    /// The expiry of a ticket for which WeChat has just reported a lifetime of `expires_in`, counted from `asked_at`.
    ///
    /// WeChat always says 7200 s, however old the ticket is. So a ticket's lifetime counts from when its value was first
    /// seen: `known_end` is the expiry by that count.
    pub(super) fn ticket_end(asked_at: Moment, expires_in: Duration, known_end: Option<Moment>) -> Moment {
        let (least, most) = (asked_at + expires_in.min(CONFIRMED_LIFETIME), asked_at + expires_in);
        known_end.map_or(most, |end| end.clamp(least, most))
    }
}

/// A token's name in the shared store: enough of its SHA-256 to be unguessable.
pub(super) fn name_in_store(token: &Secret) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    hex::encode(&digest[..16])
}

labelled! {
    /// What caused a renewal.
    pub(crate) enum Trigger {
        Missing = "missing",
        Expiring = "expiring",
        /// The ticket was last requested from WeChat `ticket_max_age` ago.
        Aged = "aged",
        /// WeChat rejected the token in use.
        Rejected = "rejected",
        /// A token call went unanswered, so the token may have been replaced.
        Unanswered = "in_doubt",
        Operator = "operator",
    }
}

/// The pause between two reads of the shared store while a replica waits for another one.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Spreads out actions that replicas would otherwise take in lockstep. Clones share one generator.
#[derive(Clone)]
pub(crate) struct Jitter(Arc<Mutex<StdRng>>);

impl Jitter {
    pub(crate) fn random() -> Self {
        Self::seeded(rand::random())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `time`, longer or shorter by a factor from `range`.
    pub(super) fn spread(&self, time: Duration, range: RangeInclusive<f64>) -> Duration {
        let factor = self.0.lock().random_range(range);
        time.mul_f64(factor)
    }

    /// The pause before the next read of the shared store, [`POLL`] on average.
    pub(super) fn poll(&self) -> Duration {
        self.spread(POLL, 0.5..=1.5)
    }
}

/// No usable credential is available now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// The reason, as the log, the internal listener's answers, `/readyz` and the console show it.
    pub reason: String,
    /// WeChat's refusal, if that is the reason.
    pub errcode: Option<ErrCode>,
    /// When to ask again.
    pub retry_after: Duration,
}

impl Unavailable {
    /// The gateway shuts down before WeChat has answered.
    pub(super) fn shutting_down() -> Self {
        Self::soon("the gateway is shutting down")
    }

    /// WeChat issues only the token that it rejects.
    pub(super) fn reissued() -> Self {
        Self::soon("WeChat keeps issuing the token that it rejects")
    }

    /// For a temporary cause: worth asking again in a second.
    pub(crate) fn soon(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            errcode: None,
            retry_after: Duration::from_secs(1),
        }
    }
}

/// Why a call that needs the token failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenCallError {
    /// There was no token for the call.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The call failed; perhaps WeChat rejected a second token too.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// True if WeChat says that the token is invalid or expired.
pub(super) fn rejects_token(error: &CallError) -> bool {
    error
        .errcode()
        .is_some_and(|code| code.meaning() == Meaning::TokenRejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_that_wechat_confirms_is_renewed_more_than_two_minutes_ahead() {
        let policy = Policy::new(&settings::Credentials::default(), &settings::WeChat::default());
        for left in [0, 75, 270, 300] {
            let now = Moment::now();
            let end = Policy::ticket_end(now, Duration::from_hours(2), Some(now + Duration::from_secs(left)));
            let ticket = policy.credential(Kind::JsapiTicket, Secret::new("ticket"), end);
            let ahead = ticket.expires_at.saturating_duration_since(ticket.renew_at);
            assert!(ahead > Duration::from_mins(2), "{left} s left: {ahead:?}");
        }
    }
}
