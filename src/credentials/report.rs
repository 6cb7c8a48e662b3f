//! What people learn about credentials: the log, the journal and the metrics.

use std::net::IpAddr;
use std::time::Duration;

use super::credential::{Credential, Kind};
use super::journal::{Event, Journal, JournalEntry};
use super::metrics::CredentialMetrics;
use super::trigger::Trigger;
use crate::account::AppId;
use crate::wechat::{CallError, Meaning};

/// Reports what happens to one account's credentials. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reports {
    app_id: AppId,
    journal: Journal,
    metrics: CredentialMetrics,
}

impl Reports {
    pub(super) fn new(app_id: AppId, journal: Journal, metrics: CredentialMetrics) -> Self {
        // From zero on, so that an alert sees the first one as an increase.
        metrics.foreign.with_label_values(&[app_id.as_str()]).inc_by(0);
        Self {
            app_id,
            journal,
            metrics,
        }
    }

    /// WeChat issued `credential`; `event` says whether in place of another one.
    pub(super) fn obtained(&self, event: Event, kind: Kind, credential: &Credential) {
        let (fingerprint, life) = (&credential.fingerprint, credential.remaining());
        tracing::info!(
            app_id = %self.app_id,
            kind = kind.label(),
            credential = fingerprint,
            life = life.as_secs(),
            "{}",
            event.label()
        );
        self.note(JournalEntry {
            fingerprint: fingerprint.clone(),
            life: Some(life),
            ..JournalEntry::new(event, kind)
        });
    }

    /// `credential` was taken over from the shared store.
    pub(super) fn adopted(&self, kind: Kind, credential: &Credential, trigger: Trigger) {
        let fingerprint = &credential.fingerprint;
        tracing::debug!(app_id = %self.app_id, kind = kind.label(), credential = fingerprint, "adopted");
        self.note(JournalEntry {
            fingerprint: fingerprint.clone(),
            left: Some(credential.remaining()),
            reason: trigger.label().to_owned(),
            ..JournalEntry::new(Event::Adopted, kind)
        });
    }

    /// WeChat rejected `token` with `error`.
    pub(super) fn rejected(&self, token: &Credential, error: &CallError) {
        tracing::info!(app_id = %self.app_id, token = token.fingerprint, %error, "WeChat rejected the access_token");
        self.note(JournalEntry {
            fingerprint: token.fingerprint.clone(),
            left: Some(token.remaining()),
            ..with_error(JournalEntry::new(Event::Rejected, Kind::AccessToken), error)
        });
    }

    /// `token` died long before its end, and no replica of ours replaced it (C5).
    pub(super) fn foreign_invalidation(&self, token: &Credential) {
        const WHY: &str = "another system fetched a token with this AppSecret";
        let left = token.remaining();
        self.metrics.foreign.with_label_values(&[self.app_id.as_str()]).inc();
        tracing::error!(
            app_id = %self.app_id,
            token = token.fingerprint,
            "foreign invalidation: the access_token was rejected {} s before its end: {WHY}. Let that system ask \
             wxgate's internal listener for its tokens, or reset the AppSecret and give it to wxgate alone",
            left.as_secs()
        );
        self.note(JournalEntry {
            fingerprint: token.fingerprint.clone(),
            left: Some(left),
            reason: WHY.to_owned(),
            ..JournalEntry::new(Event::ForeignInvalidation, Kind::AccessToken)
        });
    }

    /// WeChat gave no credential; nobody tries again for `retry_in`.
    pub(super) fn renewal_failed(&self, kind: Kind, error: &CallError, meaning: Meaning, retry_in: Duration) {
        let (app_id, label) = (&self.app_id, kind.label());
        if let Meaning::Operator(cure) = meaning {
            tracing::error!(%app_id, kind = label, ?retry_in, "WeChat gives no credential: {error}. What to do: {}", cure.en);
        } else {
            tracing::warn!(%app_id, kind = label, ?retry_in, "WeChat gives no credential: {error}");
        }
        self.note(with_error(JournalEntry::new(Event::RenewalFailed, kind), error));
    }

    /// `client` was given `token` for the first time; `from` is the address of a holder of the AppSecret.
    pub(super) fn handed_out(&self, token: &Credential, client: &str, from: Option<IpAddr>) {
        self.note(JournalEntry {
            fingerprint: token.fingerprint.clone(),
            left: Some(token.remaining()),
            client: Some(client.to_owned()),
            reason: from.map(|address| address.to_string()).unwrap_or_default(),
            ..JournalEntry::new(Event::HandedOut, Kind::AccessToken)
        });
    }

    fn note(&self, entry: JournalEntry) {
        self.journal.note(&self.app_id, entry);
    }

    /// A renewal ended with `outcome`: ok, unchanged or failed.
    pub(super) fn renewal_ended(&self, kind: Kind, trigger: Trigger, outcome: &str) {
        self.metrics
            .refreshes
            .with_label_values(&[self.app_id.as_str(), kind.label(), trigger.label(), outcome])
            .inc();
    }

    /// The credential in use ends in `remaining`.
    pub(super) fn expires_in(&self, kind: Kind, remaining: Duration) {
        let ends = std::time::SystemTime::now() + remaining;
        let ends = ends
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        self.metrics
            .expiry
            .with_label_values(&[self.app_id.as_str(), kind.label()])
            .set(ends);
    }

    /// So many token calls were made today.
    pub(super) fn token_calls(&self, calls: u64) {
        self.metrics
            .calls_today
            .with_label_values(&[self.app_id.as_str()])
            .set(calls.cast_signed());
    }
}

/// `entry` with what `error` says: WeChat's refusal in its own words, or why there is no answer.
fn with_error(entry: JournalEntry, error: &CallError) -> JournalEntry {
    let reason = match error {
        CallError::Refused { message, .. } => message.clone(),
        other => other.to_string(),
    };
    JournalEntry {
        errcode: error.errcode().map(|code| code.0),
        reason,
        ..entry
    }
}
