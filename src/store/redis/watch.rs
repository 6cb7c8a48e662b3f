//! Tries every operation from time to time, so that what fails is known whether or not anybody asks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RedisStore;
use super::failures::Outcome;
use crate::store::{SharedStore, StoreError, StoreFault, keys};

impl RedisStore {
    /// Tries every operation every `interval` until `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let key = keys::check(rand::random());
        let rounds = async {
            loop {
                // A failure is noted and logged where it happens.
                let round = self.try_operations(&key).await;
                if !round.is_err_and(|error| error.fault == StoreFault::Unreachable) {
                    self.retry_failed(&key).await;
                }
                // Spread, so that replicas don't ask in step.
                sleep(interval.mul_f64(rand::random_range(0.8..=1.0))).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Does with `key`, which nobody else uses, everything that the gateway does, and removes it again. True if Redis
    /// has kept what was written; else the first error. Only one after which nothing else can succeed ends it.
    pub async fn try_operations(&self, key: &str) -> Result<bool, StoreError> {
        let ttl = keys::CHECK_TTL;
        let mut first = None;
        let mut did = |outcome: Result<bool, StoreError>| match outcome {
            Ok(done) => Ok(done),
            Err(error) if error.fault == StoreFault::Unreachable => Err(error),
            Err(error) => {
                first.get_or_insert(error);
                Ok(false)
            }
        };
        let counted = did(self.increment(key, ttl).await.map(|count| count == 1))?;
        let changed = did(self.compare_and_set(key, Some("1"), "2", ttl).await)?;
        let found = self.get(key).await.map(|entry| entry.map(|entry| entry.value));
        let value = found.as_ref().ok().and_then(Clone::clone);
        let kept = did(found.map(|value| value.as_deref() == Some("2")))?;
        if let Some(value) = &value {
            // The key holds a string. Redis looks at the rights first, and then says that it is no stream.
            did(if_of_another_type(
                self.append(key, &[("check", "1".to_owned())], 1).await,
            ))?;
            did(if_of_another_type(self.newest(key, 1).await.map(drop)))?;
            did(self.compare_and_delete(key, value).await)?;
        }
        let set = did(self.set_if_absent(key, "3", ttl).await)?;
        let removed = set && did(self.compare_and_delete(key, "3").await)?;
        match first {
            None => Ok(counted && changed && kept && set && removed),
            Some(error) => Err(error),
        }
    }

    /// Forgets failures with other keys that are over although nobody asks for those keys again: the operation succeeds
    /// with `own`, and the server answers about the key.
    async fn retry_failed(&self, own: &str) {
        let failing = self.failures.lock().list();
        let fails_with_own = |operation| {
            let mut own = failing.iter().filter(|failing| failing.key == own);
            own.any(|failing| failing.operation == operation)
        };
        let others = failing.iter().filter(|failing| !fails_with_own(failing.operation));
        let retried = others.map(|other| async {
            let answer = self.get(&other.key).await;
            if answer.is_ok() || answer.is_err_and(|error| error.is_about_value()) {
                let mut failures = self.failures.lock();
                failures.record(other.operation, &other.key, Outcome::Answered);
            }
        });
        join_all(retried).await;
    }
}

fn if_of_another_type(outcome: Result<(), StoreError>) -> Result<bool, StoreError> {
    match outcome {
        Err(error) if error.is_about_value() => Ok(true),
        other => other.map(|()| true),
    }
}
