//! What the renewals of token and ticket have in common: one at a time, back-off, measuring.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::backoff::{Backoff, Severity};
use super::credential::{Credential, Kind, Trigger};
use super::error::Unavailable;
use super::jitter::Jitter;
use super::report::{FailureLog, Reports};
use crate::account::AppId;
use crate::single_flight::SingleFlight;
use crate::telemetry::{TRACES, traced};
use crate::wechat::{CallError, ErrCode, Meaning, RefusedAddresses};

/// The result of a renewal; every caller that waits for it gets a copy.
pub(crate) type Outcome = Result<Arc<Credential>, Unavailable>;

/// The renewals of one account's token or ticket.
pub(super) struct Renewals {
    app_id: AppId,
    kind: Kind,
    flight: Arc<SingleFlight<(), Outcome>>,
    /// Where they run, so that a drain waits for them.
    tasks: TaskTracker,
    pub(super) backoff: Backoff,
    refused_addresses: RefusedAddresses,
    reports: Reports,
}

impl Renewals {
    pub(super) fn new(app_id: AppId, kind: Kind, tasks: TaskTracker, jitter: Jitter, reports: Reports) -> Self {
        Self {
            app_id,
            kind,
            flight: Arc::default(),
            tasks,
            backoff: Backoff::new(jitter),
            refused_addresses: RefusedAddresses::default(),
            reports,
        }
    }

    /// Waits for the renewal that is running, or starts `renewal`. It is a task of its own, so no caller that hangs
    /// up can cancel it (C11).
    pub(super) async fn join_or_start<F>(&self, renewal: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let start = || renewal().in_current_span();
        let (pending, _) = self.flight.join_or_start(&(), &self.tasks, start);
        pending
            .await
            .unwrap_or_else(|_| Err(Unavailable::soon("the renewal panicked")))
    }

    /// Does `renewing`, traced and counted. `before` is what was in use until now.
    pub(super) async fn measured(
        &self,
        trigger: Trigger,
        before: Option<Arc<Credential>>,
        renewing: impl Future<Output = Outcome>,
    ) -> Outcome {
        let span = tracing::info_span!(
            target: TRACES,
            "renew",
            otel.name = format!("renew {}", self.kind.label()),
            wxgate.app_id = self.app_id.as_str(),
            wxgate.trigger = trigger.label(),
        );
        let outcome = traced(span, renewing).await;
        let result = match (&outcome, before) {
            (Err(_), _) => "failed",
            (Ok(now), Some(before)) if now.value == before.value => "unchanged",
            (Ok(_), _) => "ok",
        };
        self.reports.renewal_ended(self.kind, trigger, result);
        outcome
    }

    /// The call failed; reports it, and backs off for as long as `meaning` asks for (C9).
    pub(super) fn failed(&self, error: &CallError, meaning: fn(ErrCode) -> Meaning) -> Unavailable {
        let errcode = error.errcode();
        let severity = match errcode.map_or(Meaning::Busy, meaning) {
            Meaning::Operator(_) => Severity::Operator,
            Meaning::DayQuota | Meaning::MinuteQuota => Severity::Quota,
            Meaning::Busy | Meaning::TokenRejected | Meaning::MediaUnknown | Meaning::Unlisted => Severity::Passing,
        };
        let way_out = error
            .refused_address()
            .and_then(|address| self.refused_addresses.note(address));
        let (error_text, cure) = match way_out {
            Some(change) => (format!("{error}; {change}"), Some(change.cure().to_owned())),
            None => (error.to_string(), error.cure(meaning)),
        };
        let why = Unavailable {
            errcode,
            ..Unavailable::soon(format!("{}: {error_text}", self.kind.label()))
        };
        let why = self.backoff.fail(severity, why);
        let log = FailureLog {
            text: error_text,
            cure,
            is_for_operator: severity == Severity::Operator,
        };
        self.reports.renewal_failed(self.kind, error, &log, why.retry_after);
        why
    }
}
