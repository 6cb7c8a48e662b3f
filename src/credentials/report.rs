//! Reporting on credentials: log, journal and metrics.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    GaugeVec, IntCounterVec, IntGaugeVec, Registry, register_gauge_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
};

use super::credential::{Credential, Kind, Trigger, Unavailable};
use super::journal::{Event, Journal, JournalEntry};
use crate::account::AppId;
use crate::clock::Moment;
use crate::wechat::CallError;

/// The `wxgate_credential_…` metrics and `wxgate_token_calls_today`.
#[derive(Clone)]
pub(crate) struct CredentialMetrics {
    refreshes: IntCounterVec,
    expiry: GaugeVec,
    foreign: IntCounterVec,
    calls_today: IntGaugeVec,
}

impl CredentialMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            refreshes: register_int_counter_vec_with_registry!(
                "wxgate_credential_refreshes_total",
                "Renewals, by trigger and outcome",
                &["app_id", "kind", "trigger", "outcome"],
                registry
            )?,
            expiry: register_gauge_vec_with_registry!(
                "wxgate_credential_expiry_timestamp_seconds",
                "Expiry of the credential in use (Unix time)",
                &["app_id", "kind"],
                registry
            )?,
            foreign: register_int_counter_vec_with_registry!(
                "wxgate_credential_foreign_invalidations_total",
                "Tokens that another system replaced",
                &["app_id"],
                registry
            )?,
            calls_today: register_int_gauge_vec_with_registry!(
                "wxgate_token_calls_today",
                "Token calls of the whole cluster today (Beijing time)",
                &["app_id"],
                registry
            )?,
        })
    }
}

/// Reports what happens to one account's credentials. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reports {
    app_id: AppId,
    journal: Journal,
    metrics: CredentialMetrics,
}

impl Reports {
    pub(crate) fn new(app_id: AppId, journal: Journal, metrics: CredentialMetrics) -> Self {
        // Starts at zero, so that an alert sees the first one as an increase.
        metrics.foreign.with_label_values(&[app_id.as_str()]).inc_by(0);
        Self {
            app_id,
            journal,
            metrics,
        }
    }

    /// WeChat issued `credential`; `event` says whether it replaces another one. The journal says if an operator's
    /// request started the renewal.
    pub(super) fn obtained(&self, event: Event, kind: Kind, credential: &Credential, trigger: Trigger) {
        let reason = if trigger == Trigger::Operator {
            trigger.label()
        } else {
            ""
        };
        let (fingerprint, lifetime) = (&credential.fingerprint, credential.remaining());
        tracing::info!(
            app_id = %self.app_id,
            kind = kind.label(),
            credential = fingerprint,
            life = lifetime.as_secs(),
            "{}",
            event.label()
        );
        self.note(JournalEntry {
            fingerprint: fingerprint.clone(),
            lifetime: Some(lifetime),
            reason: reason.to_owned(),
            ..JournalEntry::new(event, kind)
        });
    }

    pub(super) fn adopted(&self, kind: Kind, credential: &Credential) {
        let fingerprint = &credential.fingerprint;
        tracing::debug!(app_id = %self.app_id, kind = kind.label(), credential = fingerprint, "adopted");
        self.note(entry_about(credential, Event::Adopted, kind));
    }

    pub(super) fn rejected(&self, token: &Credential, error: &CallError) {
        tracing::info!(app_id = %self.app_id, token = token.fingerprint, %error, "WeChat rejected the access_token");
        let entry = entry_about(token, Event::Rejected, Kind::AccessToken);
        self.note(with_error(entry, error));
    }

    /// WeChat rejects the tokens that it has just issued, as `why` says.
    pub(super) fn tokens_rejected(&self, why: &Unavailable) {
        tracing::warn!(
            app_id = %self.app_id,
            retry_in = ?why.retry_after,
            "{why}: the next token call is delayed. If another system fetches tokens with this AppSecret, let it get tokens \
             from wxgate's internal listener, or reset the AppSecret; if none does, check in WeChat's console whether the \
             account is blocked"
        );
    }

    /// `token` was rejected long before it expired, and no replica of ours replaced it (C5).
    pub(super) fn foreign_invalidation(&self, token: &Credential) {
        const WHY: &str = "another system fetched a token with this AppSecret";
        let left = token.remaining();
        self.metrics.foreign.with_label_values(&[self.app_id.as_str()]).inc();
        tracing::error!(
            app_id = %self.app_id,
            token = token.fingerprint,
            "foreign invalidation: the access_token was rejected {} s before its end: {WHY}. Let that system get its tokens \
             from wxgate's internal listener, or reset the AppSecret and give it to wxgate alone",
            left.as_secs()
        );
        self.note(JournalEntry {
            reason: WHY.to_owned(),
            ..entry_about(token, Event::ForeignInvalidation, Kind::AccessToken)
        });
    }

    /// WeChat issued no credential, as `text` says; the next attempt is in `retry_in`. If `is_lasting`, it goes on until
    /// an operator acts.
    pub(super) fn renewal_failed(
        &self,
        kind: Kind,
        error: &CallError,
        text: &str,
        is_lasting: bool,
        retry_in: Duration,
    ) {
        let (app_id, label) = (&self.app_id, kind.label());
        if is_lasting {
            tracing::error!(%app_id, kind = label, ?retry_in, "WeChat did not issue a credential: {text}");
        } else {
            tracing::warn!(%app_id, kind = label, ?retry_in, "WeChat did not issue a credential: {text}");
        }
        self.note(with_error(JournalEntry::new(Event::RenewalFailed, kind), error));
    }

    /// `client` was given `token` for the first time; `from` is the address of a holder of the AppSecret.
    pub(super) fn handed_out(&self, token: &Credential, client: &str, from: Option<IpAddr>) {
        self.note(JournalEntry {
            client: Some(client.to_owned()),
            address: from,
            ..entry_about(token, Event::HandedOut, Kind::AccessToken)
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

    /// The credential in use expires at `end`, or was dropped then.
    pub(super) fn expires_at(&self, kind: Kind, end: Moment) {
        if kind == Kind::CardTicket {
            // It may expire if no client asks for it, so it must not trigger an alert.
            return;
        }
        let remaining = end.saturating_duration_since(Moment::now());
        let expires_at = SystemTime::now() + remaining - end.elapsed();
        let seconds = expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.metrics
            .expiry
            .with_label_values(&[self.app_id.as_str(), kind.label()])
            .set(seconds);
    }

    pub(super) fn token_calls(&self, calls: u64) {
        self.metrics
            .calls_today
            .with_label_values(&[self.app_id.as_str()])
            .set(calls.cast_signed());
    }
}

/// An entry that names `credential` and its remaining lifetime.
fn entry_about(credential: &Credential, event: Event, kind: Kind) -> JournalEntry {
    JournalEntry {
        fingerprint: credential.fingerprint.clone(),
        left: Some(credential.remaining()),
        ..JournalEntry::new(event, kind)
    }
}

/// `entry` with the text of `error`: WeChat's own text if it refused, or why there is no answer.
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
