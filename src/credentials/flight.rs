//! One flight at a time: any number of callers wait for one task.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::trace;

/// A place where at most one task of a kind is under way.
pub(super) struct Flight<T> {
    current: Mutex<Option<watch::Receiver<Option<T>>>>,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self {
            current: Mutex::new(None),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Waits for the task under way, or for `task`, started now on `tracker`. It runs to its end
    /// whether or not anybody still waits. `None` only where the task panicked.
    pub(super) async fn join<F>(&self, tracker: &TaskTracker, task: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut receiver = self.receiver(tracker, task);
        let outcome = receiver.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn receiver<F>(&self, tracker: &TaskTracker, task: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A task that has landed, or panicked, has dropped its sender.
        if let Some(receiver) = current.as_ref().filter(|receiver| receiver.has_changed().is_ok()) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *current = Some(receiver.clone());
        let task = task();
        tracker.spawn(trace::follow(async move {
            let outcome = task.await;
            sender.send_replace(Some(outcome));
        }));
        receiver
    }
}
