//! Which operations currently fail: logged once when they start to fail, and once when they succeed again. Every
//! operation is tried periodically, so that a failure is noticed even without traffic.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RedisStore;
use super::operation::Operation;
use crate::store::{Health, SharedStore, StoreError, StoreFault, keys};

/// How many failures are remembered: enough to know that something fails.
const MAX: usize = 16;

/// The operations that failed in their last attempt.
///
/// A success of another operation does not count: with an ACL that forbids EVAL, SET still works. So each entry stays
/// until that operation itself succeeds.
#[derive(Default)]
pub(super) struct Failures {
    failing: Vec<FailedOperation>,
    /// When the store last went up or down; `None` before the first attempt.
    since: Option<Instant>,
}

/// An operation that failed.
#[derive(Clone)]
struct FailedOperation {
    operation: Operation,
    key: String,
    error: StoreError,
}

impl FailedOperation {
    /// True if a success of the same operation with another key shows that the failure is over. Other failures may
    /// concern only this key: in a cluster another key may be on another node, and an ACL may allow it.
    fn is_same_for_all_keys(&self) -> bool {
        matches!(
            self.error.fault,
            StoreFault::Refused(_) | StoreFault::ReadOnly | StoreFault::Full
        )
    }
}

/// How an operation ended.
#[derive(Clone, Copy)]
pub(super) enum OperationEnd<'a> {
    /// All of its commands succeeded.
    Done,
    /// Redis replied, but did not run all of the commands, because a value was not the expected one.
    Answered,
    Failed(&'a StoreError),
}

impl Failures {
    pub(super) fn health(&self) -> Health {
        let unknown = || StoreError::new(StoreFault::Unreachable, "not asked yet", "");
        let failing = self.failing.first().map(|failing| failing.error.clone());
        Health {
            error: failing.or_else(|| self.since.is_none().then(unknown)),
            since: self.since.unwrap_or_else(Instant::now),
        }
    }

    /// The error, if Redis refuses our login.
    pub(super) fn refused_login(&self) -> Option<StoreError> {
        let mut errors = self.failing.iter().map(|failing| &failing.error);
        errors.find(|error| error.fault == StoreFault::Login).cloned()
    }

    /// Notes the outcome of `operation` on `key`.
    pub(super) fn record(&mut self, operation: Operation, key: &str, outcome: OperationEnd<'_>) {
        let before = self.distinct_errors();
        let began = *self.since.get_or_insert_with(Instant::now);
        self.failing.retain(|failing| {
            let is_tried = if failing.is_same_for_all_keys() {
                !matches!(outcome, OperationEnd::Answered)
            } else {
                failing.key == key
            };
            failing.operation != operation || !is_tried
        });
        if let OperationEnd::Failed(error) = outcome
            && self.failing.len() < MAX
        {
            self.failing.push(FailedOperation {
                operation,
                key: key.to_owned(),
                error: error.clone(),
            });
        }
        let after = self.distinct_errors();
        if before.is_empty() != after.is_empty() {
            self.since = Some(Instant::now());
        }
        let is_new = |error: &&StoreError| !before.iter().any(|known| known.fault.is_like(&error.fault));
        for error in after.iter().filter(is_new) {
            tracing::warn!("a Redis operation fails: {error}. What to do: {}", error.cure);
        }
        // If the operation now fails in another way, it has not recovered.
        let is_over = |known: &&StoreError| {
            !matches!(outcome, OperationEnd::Failed(_)) && !after.iter().any(|error| error.fault.is_like(&known.fault))
        };
        for known in before.iter().filter(is_over) {
            tracing::info!(down_s = began.elapsed().as_secs(), "{}", recovery(&known.fault));
        }
    }

    /// The first error of each kind.
    fn distinct_errors(&self) -> Vec<StoreError> {
        let mut distinct: Vec<StoreError> = Vec::new();
        for FailedOperation { error, .. } in &self.failing {
            if !distinct.iter().any(|known| known.fault.is_like(&error.fault)) {
                distinct.push(error.clone());
            }
        }
        distinct
    }
}

/// What is logged when `fault` is over.
fn recovery(fault: &StoreFault) -> String {
    match fault {
        StoreFault::Refused(command) => format!("Redis accepts {command} again"),
        StoreFault::ReadOnly | StoreFault::Full => "Redis accepts writes again".to_owned(),
        StoreFault::Login => "Redis accepts our login again".to_owned(),
        StoreFault::Unreachable | StoreFault::WrongType | StoreFault::Other => {
            "Redis operations succeed again".to_owned()
        }
    }
}

impl RedisStore {
    /// Tries every operation every `interval` until `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let key = keys::check(rand::random());
        let rounds = async {
            loop {
                // Failures are noted and logged by `record`.
                let round = self.try_operations(&key).await;
                if !round.is_err_and(|error| error.fault == StoreFault::Unreachable) {
                    self.retry_failed(&key).await;
                }
                // With jitter, so that replicas do not do this in lockstep.
                sleep(interval.mul_f64(rand::random_range(0.8..=1.0))).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Tries each operation that the gateway uses with `key`, which nobody else uses, and removes it again. True if Redis
    /// has stored what was written; otherwise the first error. Only an unreachable Redis ends it early.
    pub async fn try_operations(&self, key: &str) -> Result<bool, StoreError> {
        let ttl = keys::CHECK_TTL;
        let mut first = None;
        let mut note = |outcome: Result<bool, StoreError>| match outcome {
            Ok(done) => Ok(done),
            Err(error) if error.fault == StoreFault::Unreachable => Err(error),
            Err(error) => {
                first.get_or_insert(error);
                Ok(false)
            }
        };
        let counted = note(self.increment(key, ttl).await.map(|count| count == 1))?;
        let changed = note(self.compare_and_set(key, Some("1"), "2", ttl).await)?;
        let found = self.get(key).await.map(|entry| entry.map(|entry| entry.value));
        let value = found.as_ref().ok().and_then(Clone::clone);
        let kept = note(found.map(|value| value.as_deref() == Some("2")))?;
        if let Some(value) = &value {
            // The key holds a string. Redis checks the user's permissions first, and only then that it is not a stream.
            note(accept_wrong_type(
                self.append(key, &[("check", "1".to_owned())], 1).await,
            ))?;
            note(accept_wrong_type(self.newest(key, 1).await.map(drop)))?;
            note(self.compare_and_delete(key, value).await)?;
        }
        let set = note(self.set_if_absent(key, "3", ttl).await)?;
        let removed = set && note(self.compare_and_delete(key, "3").await)?;
        match first {
            None => Ok(counted && changed && kept && set && removed),
            Some(error) => Err(error),
        }
    }

    /// Forgets failures with other keys, which may not be used again, if they are over: the operation succeeds with
    /// `own`, and the server replies to a read of the key.
    async fn retry_failed(&self, own: &str) {
        let failing = self.failures.lock().failing.clone();
        let fails_with_own = |operation| failing.iter().any(|it| it.key == own && it.operation == operation);
        let others = failing.iter().filter(|failing| !fails_with_own(failing.operation));
        let retried = others.map(|other| async {
            let answer = self.get(&other.key).await;
            if answer.is_ok() || answer.is_err_and(|error| error.is_about_value()) {
                let mut failures = self.failures.lock();
                failures.record(other.operation, &other.key, OperationEnd::Answered);
            }
        });
        join_all(retried).await;
    }
}

fn accept_wrong_type(outcome: Result<(), StoreError>) -> Result<bool, StoreError> {
    match outcome {
        Err(error) if error.is_about_value() => Ok(true),
        other => other.map(|()| true),
    }
}
