//! Single flight: work that several callers want at the same time runs once, in a task that none of them can cancel.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The result of running work; an error if the work ends without one.
pub(crate) type Pending<V> = Shared<oneshot::Receiver<V>>;

/// Running work, by key. Results are not kept: a caller that arrives after the end starts the work again.
pub(crate) struct SingleFlight<K: Eq + Hash, V>(Mutex<HashMap<K, Pending<V>>>);

impl<K: Eq + Hash, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the work for `key`, or starts what `work` returns as a task on `tracker`. Returns the shared result, and
    /// true if the work was started.
    pub(crate) fn join_or_start<F>(
        self: &Arc<Self>,
        key: &K,
        tracker: &TaskTracker,
        work: impl FnOnce() -> F,
    ) -> (Pending<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        let pending = result.shared();
        match self.0.lock().entry(key.clone()) {
            Entry::Occupied(running) => return (running.get().clone(), false),
            Entry::Vacant(vacant) => vacant.insert(pending.clone()),
        };
        let entry = RunningEntry {
            group: Arc::clone(self),
            key: key.clone(),
        };
        // Runs in the span of the caller that starts it, so that its log lines have the request's id and its calls the
        // trace. Boxed, because a task is moved about ten times before it is first polled.
        let work = work().in_current_span().boxed();
        tracker.spawn(async move {
            // Captured in this order, because the last is dropped first if the work panics.
            let (sender, entry) = (sender, entry);
            let result = work.await;
            drop(entry);
            // Fails if all callers have hung up.
            let _ = sender.send(result);
        });
        (pending, true)
    }
}

/// The entry of running work. It is removed before any caller gets the result, so that a caller that retries after a
/// failure does not join the work that has just failed.
struct RunningEntry<K: Eq + Hash, V> {
    group: Arc<SingleFlight<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for RunningEntry<K, V> {
    fn drop(&mut self) {
        self.group.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_one_run() {
        let (flights, tasks, go) = (Arc::default(), TaskTracker::new(), Arc::new(Notify::new()));
        let join = |flights: &Arc<SingleFlight<_, _>>, key, result| {
            let go = Arc::clone(&go);
            flights.join_or_start(&key, &tasks, || async move {
                go.notified().await;
                result
            })
        };
        let (first, is_new) = join(&flights, "a", 7);
        let (second, is_also_new) = join(&flights, "a", 8);
        assert!(is_new && !is_also_new);
        assert!(join(&flights, "b", 9).1);
        tokio::task::yield_now().await;
        go.notify_waiters();
        assert_eq!((first.await, second.await), (Ok(7), Ok(7)));
        assert!(join(&flights, "a", 10).1, "the result must not be kept");
    }

    #[tokio::test]
    async fn work_that_panics_leaves_nobody_waiting() {
        let (flights, tasks) = (Arc::<SingleFlight<_, ()>>::default(), TaskTracker::new());
        let (pending, _) = flights.join_or_start(&"a", &tasks, || async { panic!("as it is meant to") });
        assert!(pending.await.is_err());
        assert!(flights.join_or_start(&"a", &tasks, || async {}).1);
    }
}
