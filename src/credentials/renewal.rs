//! What the renewals of token and ticket have in common: one at a time, back-off, measuring.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::backoff::{Backoff, Severity};
use super::credential::{Credential, Kind, Trigger};
use super::error::Unavailable;
use super::jitter::Jitter;
use super::report::Reports;
use crate::account::AppId;
use crate::single_flight::SingleFlight;
use crate::telemetry::{TRACES, traced};
use crate::wechat::{CallError, ErrCode, Meaning};

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
        let meaning = errcode.map_or(Meaning::Busy, meaning);
        let severity = match meaning {
            Meaning::Operator(_) => Severity::Operator,
            Meaning::Quota => Severity::Quota,
            Meaning::Busy | Meaning::TokenRejected | Meaning::MediaUnknown | Meaning::Unlisted => Severity::Passing,
        };
        let reason = format!("{}: {error}", self.kind.label());
        let why = Unavailable {
            errcode,
            ..Unavailable::soon(reason)
        };
        let why = self.backoff.fail(severity, why);
        self.reports.renewal_failed(self.kind, error, meaning, why.retry_after);
        why
    }
}
