//! Work that several callers want at the same time is done once, by a task that none of them can cancel.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// The result of work that is running; an error if the work ended without one.
pub(crate) type Pending<V> = Shared<oneshot::Receiver<V>>;

/// The work that is running, by key. Results are not kept: a caller that comes after the end starts the work anew.
pub(crate) struct SingleFlight<K, V> {
    running: Mutex<HashMap<K, Pending<V>>>,
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, V: Clone + Send + Sync + 'static> SingleFlight<K, V> {
    /// Joins the work for `key`, or starts it: then `work` makes the task, which runs on `tracker`. Returns the
    /// shared result, and true if the work was started.
    pub(crate) fn join_or_start<F>(
        self: &Arc<Self>,
        key: &K,
        tracker: &TaskTracker,
        work: impl FnOnce() -> F,
    ) -> (Pending<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (pending, running) = self.join(key);
        let is_new = running.is_some();
        if let Some(running) = running {
            // Boxed, because a task is moved about ten times before its first poll.
            let work = work().boxed();
            tracker.spawn(async move { running.complete(work.await) });
        }
        (pending, is_new)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    /// Returns the shared result, and the guard if the caller is to do the work.
    fn join(self: &Arc<Self>, key: &K) -> (Pending<V>, Option<Running<K, V>>) {
        let mut running = self.lock();
        if let Some(pending) = running.get(key) {
            return (pending.clone(), None);
        }
        let (result, pending) = oneshot::channel();
        let pending = pending.shared();
        running.insert(key.clone(), pending.clone());
        let guard = Running {
            group: Arc::clone(self),
            key: key.clone(),
            result: Some(result),
        };
        (pending, Some(guard))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Pending<V>>> {
        // Nothing can panic in the middle of a change, so the map behind a poisoned lock is sound.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard of work that is running. Dropped without a result (a panic, a cancelled task), it frees the key, and
/// everyone who waits gets an error.
struct Running<K: Eq + Hash + Clone, V: Clone> {
    group: Arc<SingleFlight<K, V>>,
    key: K,
    result: Option<oneshot::Sender<V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Running<K, V> {
    /// Gives `result` to everyone who waits. The key is freed first, so that a caller that retries after a
    /// failure does not join the work that has just failed.
    fn complete(mut self, result: V) {
        self.free_key();
        if let Some(sender) = self.result.take() {
            // Fails if all callers have hung up.
            let _ = sender.send(result);
        }
    }

    fn free_key(&self) {
        self.group.lock().remove(&self.key);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Running<K, V> {
    fn drop(&mut self) {
        // After completion the key may already belong to the next run.
        if self.result.is_some() {
            self.free_key();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_one_run() {
        let flights = Arc::new(SingleFlight::default());
        let (first, running) = flights.join(&"a");
        let (second, none) = flights.join(&"a");
        assert!(none.is_none());
        assert!(flights.join(&"b").1.is_some());
        running.unwrap().complete(7);
        assert_eq!((first.await, second.await), (Ok(7), Ok(7)));
        assert!(flights.join(&"a").1.is_some(), "the result must not be kept");
    }

    #[tokio::test]
    async fn dropped_run_leaves_nobody_waiting() {
        let flights = Arc::new(SingleFlight::<_, ()>::default());
        let (pending, running) = flights.join(&"a");
        drop(running);
        assert!(pending.await.is_err());
        assert!(flights.join(&"a").1.is_some());
    }

    #[test]
    fn completed_run_does_not_free_its_successors_key() {
        let flights = Arc::new(SingleFlight::default());
        let (pending, first) = flights.join(&"a");
        let mut first = first.unwrap();
        // The steps of `complete`, with a caller that joins between two of them.
        first.free_key();
        let (_pending, second) = flights.join(&"a");
        first.result.take().unwrap().send(1).unwrap();
        drop((first, pending));
        assert!(flights.join(&"a").1.is_none(), "the second run is not over");
        drop(second);
    }
}
