//! Entries that are lost because the queue is full. They are reported together: there may be thousands at once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// How often lost entries are reported.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Counts lost entries until they are reported.
#[derive(Default)]
pub(super) struct Losses(Mutex<Lost>);

#[derive(Default)]
struct Lost {
    /// Entries lost since the last report.
    entries: u64,
    /// Why writes failed when the last of them was lost, if they did.
    reason: Option<StoreError>,
    /// Why the last write failed, if it did.
    failure: Option<StoreError>,
}

impl Losses {
    /// Remembers how the last write ended.
    pub(super) fn set_failure(&self, failure: Option<StoreError>) {
        self.0.lock().failure = failure;
    }

    /// An entry is lost.
    pub(super) fn add(&self) {
        let state = &mut *self.0.lock();
        state.entries += 1;
        state.reason.clone_from(&state.failure);
    }

    /// Reports lost entries in one line each interval, if there are any, until `stop` is cancelled.
    pub(super) async fn report(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(REPORT_INTERVAL)).await.is_some() {
            self.report_now();
        }
    }

    /// Reports the last ones, and those that the writer could not write in the end.
    pub(super) fn report_at_end(&self, unwritten: usize) {
        for _ in 0..unwritten {
            self.add();
        }
        self.report_now();
    }

    fn report_now(&self) {
        let (entries, reason) = self.take();
        match reason {
            _ if entries == 0 => {}
            Some(error) => tracing::warn!(
                entries,
                "entries of the journal were lost: the last write failed: {error}. What to do: {}",
                error.cure
            ),
            None => tracing::warn!(
                entries,
                "entries of the journal were lost: they came faster than they were written, and the queue was full"
            ),
        }
    }

    fn take(&self) -> (u64, Option<StoreError>) {
        let state = &mut *self.0.lock();
        // The first entries may be lost before the write ahead of them is known to have failed.
        let reason = state.reason.take().or_else(|| state.failure.clone());
        (std::mem::take(&mut state.entries), reason)
    }
}
