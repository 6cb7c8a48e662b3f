//! What fails at the moment: logged once when it begins to fail, and once when it is over.
//!
//! Every operation is tried in rounds, at intervals, so that a failure is known even without traffic. Requests report
//! failures; that one is over is decided by the rounds alone, which try everything.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RedisStore;
use crate::store::{Claimed, Health, SharedStore, StoreError, StoreFault, keys};

/// How many failures are remembered: enough to know that something fails.
const MAX: usize = 16;

/// What has failed and is not over.
#[derive(Default)]
pub(super) struct Failures {
    failing: Vec<Failure>,
    /// When the store last went up or down; `None` until that is known.
    since: Option<Instant>,
}

/// One kind of failure, at one key: in a cluster another key may be on another node, and an ACL may allow it.
struct Failure {
    key: String,
    error: StoreError,
    /// When it was last seen.
    noted_at: Instant,
}

impl Failure {
    fn is_like(&self, error: &StoreError) -> bool {
        self.error.fault.is_like(&error.fault)
    }
}

/// True if Redis has not looked at the command, so that nothing is known of it.
fn is_outage(error: &StoreError) -> bool {
    matches!(error.fault, StoreFault::Unreachable | StoreFault::Login)
}

impl Failures {
    pub(super) fn health(&self) -> Health {
        let unknown = || StoreError::new(StoreFault::Unreachable, "not asked yet", "");
        let newest = self.failing.iter().max_by_key(|failure| failure.noted_at);
        let error = newest.map(|failure| failure.error.clone());
        Health {
            error: error.or_else(|| self.since.is_none().then(unknown)),
            since: self.since.unwrap_or_else(Instant::now),
        }
    }

    /// The error, if Redis refuses our login.
    pub(super) fn refused_login(&self) -> Option<StoreError> {
        let mut errors = self.failing.iter().map(|failure| &failure.error);
        errors.find(|error| error.fault == StoreFault::Login).cloned()
    }

    /// Notes that a command on `key` has failed.
    pub(super) fn note(&mut self, key: &str, error: &StoreError) {
        let now = Instant::now();
        if self.failing.is_empty() {
            self.since = Some(now);
        }
        let is_new = !self.failing.iter().any(|known| known.is_like(error));
        let is_full = self.failing.len() >= MAX;
        // If there is no room for another key, one that fails in the same way stands for it.
        let is_known = |known: &&mut Failure| known.is_like(error) && (known.key == key || is_full);
        if let Some(known) = self.failing.iter_mut().find(is_known) {
            known.error = error.clone();
            known.noted_at = now;
        } else if !is_full {
            self.failing.push(Failure {
                key: key.to_owned(),
                error: error.clone(),
                noted_at: now,
            });
            if is_new {
                tracing::warn!("a Redis operation fails: {error}. What to do: {}", error.cure);
            }
        }
    }

    /// Ends a round that began at `began`: what has not failed since then is over. A round that was not `complete`, since
    /// one failure kept it from trying everything, shows only that Redis can be reached and accepts our login.
    fn end_round(&mut self, began: Instant, complete: bool) {
        let down_since = *self.since.get_or_insert_with(Instant::now);
        let unreached: BTreeSet<String> = self
            .failing
            .iter()
            .filter(|failure| failure.noted_at >= began && is_outage(&failure.error))
            .map(|failure| failure.key.clone())
            .collect();
        let is_over = |failure: &Failure| {
            let was_tried = complete || is_outage(&failure.error);
            failure.noted_at < began && was_tried && !unreached.contains(&failure.key)
        };
        let (over, failing) = mem::take(&mut self.failing).into_iter().partition(is_over);
        self.failing = failing;
        if self.failing.is_empty() && !over.is_empty() {
            self.since = Some(Instant::now());
        }
        for (at, Failure { error, .. }) in over.iter().enumerate() {
            let mut others = over[..at].iter().chain(&self.failing);
            if !others.any(|other| other.is_like(error)) {
                tracing::info!(down_s = down_since.elapsed().as_secs(), "{}", recovery(&error.fault));
            }
        }
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
    /// Makes a round every `interval` until `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let key = keys::check(rand::random());
        let rounds = async {
            loop {
                // Failures are noted and logged by `run`.
                let _ = self.try_operations(&key).await;
                // With jitter, so that replicas do not do this in step.
                sleep(interval.mul_f64(rand::random_range(0.8..=1.0))).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// A round: tries each operation that the gateway uses with `key`, which nobody else uses, and its lock, and removes
    /// them again. True if Redis has kept what was written; otherwise the first error. Only an outage ends it early.
    pub async fn try_operations(&self, key: &str) -> Result<bool, StoreError> {
        let (ttl, began) = (keys::CHECK_TTL, Instant::now());
        let mut first = None;
        let mut go_on = |outcome: Result<bool, StoreError>| match outcome {
            Ok(done) => Ok(done),
            Err(error) if is_outage(&error) => Err(error),
            Err(error) => {
                first.get_or_insert(error);
                Ok(false)
            }
        };
        let counted = go_on(self.increment(key, ttl).await.map(|count| count == 1))?;
        let changed = go_on(self.compare_and_set(key, Some("1"), "2", ttl).await)?;
        let found = self.get(key).await.map(|entry| entry.map(|entry| entry.value));
        let value = found.as_ref().ok().and_then(Clone::clone);
        let kept = go_on(found.map(|value| value.as_deref() == Some("2")))?;
        if let Some(value) = &value {
            // The key holds a string. Redis checks the user's rights first, and only then that it is not a stream.
            go_on(accept_wrong_type(
                self.append(key, &[("check", "1".to_owned())], 1).await,
            ))?;
            go_on(accept_wrong_type(self.newest(key, 1).await.map(drop)))?;
            go_on(self.shorten(key, Duration::ZERO, ttl).await)?;
            go_on(self.compare_and_delete(key, value).await)?;
        }
        let lock = keys::check_lock(key);
        let claimed = self.claim(key, &lock, key, ttl).await;
        let claimed = go_on(claimed.map(|claimed| claimed == Claimed::Ours))?;
        let released = claimed && go_on(self.compare_and_delete(&lock, key).await)?;
        let set = go_on(self.set_if_absent(key, "3", ttl).await)?;
        let removed = set && go_on(self.compare_and_delete(key, "3").await)?;
        self.try_failed_keys(key).await;
        self.failures.lock().end_round(began, value.is_some());
        match first {
            None => Ok(counted && changed && kept && released && set && removed),
            Some(error) => Err(error),
        }
    }

    /// Reads the keys that have failed, other than `own`: one that still can't be read is noted again.
    async fn try_failed_keys(&self, own: &str) {
        let failing: BTreeSet<String> = {
            let failures = self.failures.lock();
            let keys = failures.failing.iter().map(|failure| &failure.key);
            keys.filter(|key| *key != own).cloned().collect()
        };
        join_all(failing.iter().map(|key| self.get(key))).await;
    }
}

fn accept_wrong_type(outcome: Result<(), StoreError>) -> Result<bool, StoreError> {
    match outcome {
        Err(error) if error.is_about_value() => Ok(true),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(failures: &mut Failures, key: &str, fault: StoreFault) {
        failures.note(key, &StoreError::new(fault, "it fails", ""));
    }

    fn faults(failures: &Failures) -> Vec<StoreFault> {
        let faults = failures.failing.iter().map(|failure| failure.error.fault.clone());
        faults.collect()
    }

    #[test]
    fn round_ends_only_what_failed_before_it_and_what_it_has_tried() {
        let (mut failures, refused) = (Failures::default(), StoreFault::Refused("SET".to_owned()));
        noted(&mut failures, "a", StoreFault::Unreachable);
        noted(&mut failures, "b", StoreFault::Other);
        noted(&mut failures, "own", refused.clone());
        let began = Instant::now();
        noted(&mut failures, "c", StoreFault::Full);
        noted(&mut failures, "b", StoreFault::Unreachable);

        failures.end_round(began, false);
        let left = [StoreFault::Other, refused, StoreFault::Full, StoreFault::Unreachable];
        assert_eq!(faults(&failures), left, "the rest has not been tried");
        failures.end_round(began, true);
        let left = [StoreFault::Other, StoreFault::Full, StoreFault::Unreachable];
        assert_eq!(
            faults(&failures),
            left,
            "b could not be read, so its other failure may go on"
        );
        failures.end_round(Instant::now(), true);
        assert!(faults(&failures).is_empty() && failures.health().error.is_none());
    }
}
