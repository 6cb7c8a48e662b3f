//! What people learn about credentials: the log, the journal and the metrics.

use std::time::Duration;

use super::credential::{Credential, Kind};
use super::journal::{Event, Journal};
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
        let (app_id, life) = (&self.app_id, credential.remaining().as_secs());
        let (label, fingerprint) = (kind.label(), &credential.fingerprint);
        tracing::info!(%app_id, kind = label, credential = fingerprint, life, "{}", event.label());
        self.journal
            .note(app_id, kind, event, fingerprint, &format!("for {life} s"));
    }

    /// `credential` was taken over from the shared store.
    pub(super) fn adopted(&self, kind: Kind, credential: &Credential, trigger: Trigger) {
        let fingerprint = &credential.fingerprint;
        self.journal
            .note(&self.app_id, kind, Event::Adopted, fingerprint, trigger.label());
        tracing::debug!(app_id = %self.app_id, kind = kind.label(), credential = fingerprint, "adopted");
    }

    /// WeChat rejected `token` with `error`.
    pub(super) fn rejected(&self, token: &Credential, error: &CallError) {
        tracing::info!(app_id = %self.app_id, token = token.fingerprint, %error, "WeChat rejected the access_token");
        self.journal.note(
            &self.app_id,
            Kind::AccessToken,
            Event::Rejected,
            &token.fingerprint,
            &error.to_string(),
        );
    }

    /// `token` died long before its end, and no replica of ours replaced it (C5).
    pub(super) fn foreign_invalidation(&self, token: &Credential) {
        let left = token.remaining().as_secs();
        let reason = format!("rejected {left} s before its end: another system fetched a token with this AppSecret");
        self.metrics.foreign.with_label_values(&[self.app_id.as_str()]).inc();
        self.journal.note(
            &self.app_id,
            Kind::AccessToken,
            Event::ForeignInvalidation,
            &token.fingerprint,
            &reason,
        );
        tracing::error!(
            app_id = %self.app_id,
            token = token.fingerprint,
            "foreign invalidation: the access_token was {reason}. Let that system ask wxgate's internal listener for its \
             tokens, or reset the AppSecret and give it to wxgate alone"
        );
    }

    /// WeChat gave no credential; nobody tries again for `retry_in`.
    pub(super) fn renewal_failed(&self, kind: Kind, error: &CallError, meaning: Meaning, retry_in: Duration) {
        let (app_id, label) = (&self.app_id, kind.label());
        if let Meaning::Operator(cure) = meaning {
            tracing::error!(%app_id, kind = label, ?retry_in, "WeChat gives no credential: {error}. What to do: {cure}");
        } else {
            tracing::warn!(%app_id, kind = label, ?retry_in, "WeChat gives no credential: {error}");
        }
        self.journal
            .note(app_id, kind, Event::RenewalFailed, "", &error.to_string());
    }

    /// `client` was given `token` for the first time.
    pub(super) fn handed_out(&self, token: &Credential, client: &str, reason: &str) {
        self.journal
            .note_handed_out(&self.app_id, &token.fingerprint, client, reason);
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
