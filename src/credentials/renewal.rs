//! What renewals of tokens and tickets have in common: single flight, metrics, exponential back-off with jitter.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::credential::{Credential, Jitter, Kind, Trigger, Unavailable};
use super::parameters::Parameters;
use super::report::Reports;
use crate::account::AppId;
use crate::clock::Moment;
use crate::single_flight::SingleFlight;
use crate::telemetry::{TRACES, traced};
use crate::wechat::{CHANGING_ADDRESS, CallError, ErrCode, Meaning, RefusedAddresses, what_to_do};

/// The result of a renewal; every caller that waits for it gets a copy.
pub(crate) type CredentialResult = Result<Arc<Credential>, Unavailable>;

/// The renewals of one account's token or ticket.
pub(super) struct Renewals {
    app_id: AppId,
    kind: Kind,
    /// At most one that respects the back-off (`false`), and one by an operator that ignores it (`true`).
    flights: Arc<SingleFlight<bool, CredentialResult>>,
    /// Where they run, so that a drain waits for them.
    tasks: TaskTracker,
    pub(super) backoff: Backoff,
    /// Why the last renewal failed, if it did.
    last_failure: Mutex<Option<Unavailable>>,
    refused_addresses: RefusedAddresses,
    reports: Reports,
}

impl Renewals {
    pub(super) fn new(parameters: &Parameters, kind: Kind) -> Self {
        Self {
            app_id: parameters.app_id.clone(),
            kind,
            flights: Arc::default(),
            tasks: parameters.services.tasks.clone(),
            backoff: Backoff::new(parameters.policy.jitter.clone()),
            last_failure: Mutex::default(),
            refused_addresses: RefusedAddresses::default(),
            reports: parameters.reports.clone(),
        }
    }

    /// Joins the running renewal or starts `renewal`. It is a task of its own, so a caller that hangs up can't cancel it
    /// (C11). One that `ignores_backoff` joins only another one that does.
    pub(super) async fn join_or_start<F>(&self, ignores_backoff: bool, renewal: impl FnOnce() -> F) -> CredentialResult
    where
        F: Future<Output = CredentialResult> + Send + 'static,
    {
        let (pending, _) = self.flights.join_or_start(&ignores_backoff, &self.tasks, renewal);
        pending
            .await
            .unwrap_or_else(|_| Err(Unavailable::soon("the renewal panicked")))
    }

    /// Runs `renewing` with a span and metrics. `before` is the credential in use so far.
    pub(super) async fn measured(
        &self,
        trigger: Trigger,
        before: Option<Arc<Credential>>,
        renewing: impl Future<Output = CredentialResult>,
    ) -> CredentialResult {
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
        *self.last_failure.lock() = outcome.as_ref().err().cloned();
        outcome
    }

    /// Why the last renewal failed, if it did.
    pub(super) fn last_failure(&self) -> Option<Unavailable> {
        self.last_failure.lock().clone()
    }

    /// The failure of a renewal that does not call WeChat because of `why`, which is logged only when it changes.
    pub(super) fn not_tried(&self, why: String) -> Unavailable {
        if self.last_failure().is_none_or(|last| last.reason != why) {
            // The cause has its own warning in the log.
            tracing::info!(app_id = %self.app_id, kind = self.kind.label(), "not asking WeChat for a credential: {why}");
        }
        Unavailable::soon(why)
    }

    /// Reports a failed call, and backs off for as long as `meaning` demands (C9), but at least for `pace`.
    pub(super) fn failed(&self, error: &CallError, meaning: fn(ErrCode) -> Meaning, pace: Duration) -> Unavailable {
        let errcode = error.errcode();
        let severity = match errcode.map_or(Meaning::Busy, meaning) {
            Meaning::Operator(_) => Severity::Operator,
            Meaning::DayQuota | Meaning::MinuteQuota => Severity::Quota,
            Meaning::Busy | Meaning::TokenRejected | Meaning::MediaUnknown | Meaning::Unlisted => Severity::Transient,
        };
        let all_refused = error
            .refused_address()
            .and_then(|address| self.refused_addresses.note(address));
        let (error_text, cure) = match all_refused {
            Some(all) => {
                let text =
                    format!("{error}; within an hour WeChat has refused {all}: the outgoing address is not fixed");
                (text, Some(CHANGING_ADDRESS.to_owned()))
            }
            None => (error.to_string(), error.cure(meaning)),
        };
        let why = Unavailable {
            errcode,
            ..Unavailable::soon(format!("{}: {error_text}", self.kind.label()))
        };
        let why = self.backoff.fail(severity, why, pace);
        let text = error_text + &what_to_do(cure.as_deref());
        let is_lasting = severity == Severity::Operator;
        self.reports
            .renewal_failed(self.kind, error, &text, is_lasting, why.retry_after);
        why
    }
}

/// How severe a failure is; it decides the wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Probably short.
    Transient,
    /// Lasts at least a minute.
    Quota,
    /// Lasts until an operator acts; WeChat takes up to ten minutes to notice that.
    Operator,
    /// WeChat rejects a new token, perhaps because another system replaces ours as fast as we obtain them.
    Takeover,
    /// WeChat issues again the token that it has just rejected.
    Reissued,
}

/// This many new tokens rejected in a row are attributed to chance, and cause no wait.
const TOLERATED_REJECTIONS: u32 = 3;

impl Severity {
    /// The wait after a failure that `failures` others preceded without a success in between.
    fn wait(self, failures: u32) -> Duration {
        let (free, first, longest) = match self {
            Severity::Transient => (0, Duration::from_millis(500), Duration::from_secs(30)),
            Severity::Quota => (0, Duration::from_mins(1), Duration::from_mins(10)),
            Severity::Operator => (0, Duration::from_secs(10), Duration::from_mins(10)),
            // At most the lifetime of a token, after which WeChat must issue another one. So a whole day of rejections
            // costs less than a tenth of the default `daily_token_calls`.
            Severity::Takeover | Severity::Reissued => {
                (TOLERATED_REJECTIONS, Duration::from_secs(1), Duration::from_hours(2))
            }
        };
        let factor = failures.checked_sub(free).map(|doublings| 1 << doublings.min(16));
        factor.map_or(Duration::ZERO, |factor| first.saturating_mul(factor).min(longest))
    }
}

/// Failures are forgotten when this time, or that of the last wait if longer, has passed since that wait ended. So waits
/// continue to grow even if each failure comes some time after the wait.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// Counts consecutive failures of one kind of call of one account, and refuses attempts until the wait is over.
pub(super) struct Backoff {
    run: Mutex<Option<FailureRun>>,
    jitter: Jitter,
}

/// Consecutive failures.
struct FailureRun {
    failures: u32,
    until: Moment,
    /// With the whole wait as `retry_after`.
    why: Unavailable,
}

impl FailureRun {
    fn new(failures: u32, wait: Duration, why: Unavailable) -> Self {
        let until = Moment::now() + wait;
        let why = Unavailable {
            retry_after: wait,
            ..why
        };
        Self { failures, until, why }
    }
}

fn failures_in_a_row(run: Option<&FailureRun>) -> u32 {
    let is_remembered = |run: &&FailureRun| run.until.elapsed() < FORGOTTEN_AFTER.max(run.why.retry_after);
    run.filter(is_remembered).map_or(0, |run| run.failures)
}

impl Backoff {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self {
            run: Mutex::new(None),
            jitter,
        }
    }

    /// The error to return at once until the wait is over.
    pub(super) fn refusal(&self) -> Option<Unavailable> {
        // The clock is read under the lock: an earlier reading may precede the end of a wait of zero that another thread
        // begins meanwhile.
        let (state, now) = (self.run.lock(), Moment::now());
        let run = state.as_ref().filter(|run| now < run.until)?;
        Some(Unavailable {
            retry_after: run.until.saturating_duration_since(now),
            ..run.why.clone()
        })
    }

    /// Notes a failure; returns it with the wait that follows, which is at least `pace`.
    pub(super) fn fail(&self, severity: Severity, why: Unavailable, pace: Duration) -> Unavailable {
        let mut state = self.run.lock();
        let failures = failures_in_a_row(state.as_ref());
        let failures = if severity == Severity::Reissued {
            failures.max(TOLERATED_REJECTIONS)
        } else {
            failures
        };
        let wait = self.jitter.spread(severity.wait(failures).max(pace), 0.8..=1.2);
        let run = FailureRun::new(failures.saturating_add(1), wait, why);
        state.insert(run).why.clone()
    }

    /// The number of consecutive failures so far.
    pub(super) fn failures(&self) -> u32 {
        self.run.lock().as_ref().map_or(0, |run| run.failures)
    }

    /// Takes over another replica's `wait`, and its number of failures if that is higher.
    pub(super) fn adopt_wait(&self, failures: u32, wait: Duration, why: Unavailable) -> Unavailable {
        let mut state = self.run.lock();
        let failures = failures.max(failures_in_a_row(state.as_ref()));
        let run = FailureRun::new(failures, wait, why);
        state.insert(run).why.clone()
    }

    pub(super) fn clear(&self) {
        *self.run.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// How many calls failures allow in 5 s when traffic retries all the time.
    async fn calls_in_5s(severity: Severity) -> u32 {
        let backoff = Backoff::new(Jitter::random());
        let end = Moment::now() + Duration::from_secs(5);
        let mut calls = 0;
        while Moment::now() < end {
            if backoff.refusal().is_none() {
                calls += 1;
                backoff.fail(severity, Unavailable::soon("test"), Duration::ZERO);
            }
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_with_failures_in_a_row() {
        assert!((3..=10).contains(&calls_in_5s(Severity::Transient).await));
        assert_eq!(calls_in_5s(Severity::Operator).await, 1);
        assert_eq!(calls_in_5s(Severity::Quota).await, 1);
    }

    #[test]
    fn failure_without_a_wait_refuses_nobody() {
        let backoff = Backoff::new(Jitter::random());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for _ in 0..20_000 {
                    backoff.fail(Severity::Takeover, Unavailable::soon("test"), Duration::ZERO);
                    backoff.clear();
                }
                is_done.store(true, Ordering::Relaxed);
            });
            while !is_done.load(Ordering::Relaxed) {
                assert!(backoff.refusal().is_none());
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn wait_of_another_replica_does_not_revive_forgotten_failures() {
        let backoff = Backoff::new(Jitter::random());
        let adopt = |failures| backoff.adopt_wait(failures, Duration::from_secs(1), Unavailable::soon("test"));
        adopt(13);
        tokio::time::advance(Duration::from_hours(1)).await;
        adopt(1);
        assert_eq!(backoff.failures(), 1);
        // The store may hold any number.
        adopt(u32::MAX);
        backoff.fail(Severity::Takeover, Unavailable::soon("test"), Duration::ZERO);
        assert_eq!(backoff.failures(), u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn success_resets_the_wait() {
        let backoff = Backoff::new(Jitter::random());
        let fail = || backoff.fail(Severity::Transient, Unavailable::soon("test"), Duration::ZERO);
        for _ in 0..40 {
            fail();
        }
        assert!(backoff.refusal().unwrap().retry_after > Duration::from_secs(20));
        backoff.clear();
        assert!(backoff.refusal().is_none());
        assert!(fail().retry_after < Duration::from_secs(1));
    }
}
