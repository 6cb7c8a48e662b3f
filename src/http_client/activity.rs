//! A limit on the time without activity, for requests whose bodies may take any length of time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// When a chunk of a body was last sent or received.
#[derive(Clone)]
pub(crate) struct LastActivity(Arc<Mutex<Instant>>);

impl Default for LastActivity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastActivity {
    /// `body`, whose chunks and end count as activity.
    pub(crate) fn watch<S: Stream + Unpin>(&self, mut body: S) -> impl Stream<Item = S::Item> + use<S> {
        let activity = self.clone();
        stream::poll_fn(move |cx| {
            let next = body.poll_next_unpin(cx);
            if next.is_ready() {
                *activity.0.lock() = Instant::now();
            }
            next
        })
    }

    /// Waits for `work`; `None` if there has been no activity for `limit`.
    pub(crate) async fn or_stalled<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let deadline = *self.0.lock() + limit;
            tokio::select! {
                outcome = &mut work => return Some(outcome),
                () = sleep_until(deadline) => {
                    if *self.0.lock() + limit <= Instant::now() {
                        return None;
                    }
                }
            }
        }
    }
}
