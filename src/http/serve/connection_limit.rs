//! How many connections may be open at once, on all listeners of a process together.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::open_files;

/// A budget of connections. Beyond it, new ones wait in the kernel's queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    free: Arc<Semaphore>,
    total: usize,
    /// The log lines about a full budget, and about connections that can't be accepted.
    full: Arc<SeldomLine>,
    refused: Arc<SeldomLine>,
}

/// A line that is logged once a minute at most, so that a flood does not fill the log.
#[derive(Debug, Default)]
struct SeldomLine(Mutex<Option<Instant>>);

impl SeldomLine {
    const AGAIN_AFTER: Duration = Duration::from_mins(1);

    fn is_due(&self) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|at| at.elapsed() >= Self::AGAIN_AFTER);
        if is_due {
            *logged = Some(Instant::now());
        }
        is_due
    }
}

/// As many connections as the limit on open files allows.
impl Default for ConnectionLimit {
    fn default() -> Self {
        Self::new(open_files::connections())
    }
}

impl ConnectionLimit {
    /// A budget of `total` connections.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            full: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// Waits for a place, which the permit holds.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 && self.full.is_due() {
            tracing::warn!(
                connections = self.total,
                "as many connections as the listeners may hold are open; new ones wait until some end. If they are \
                 all real, add replicas, or raise the limit on open files if that is below 44,000"
            );
        }
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Notes that the system gives no connection: probably it is out of open files.
    pub(super) fn warn_of_refusal(&self, error: &io::Error) {
        if self.refused.is_due() {
            tracing::warn!(%error, "connections can't be accepted now; if files are lacking, raise the limit on open files");
        }
    }

    /// True while less than an eighth of the places is free.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.free.available_permits() < self.total / 8
    }
}
