//! How many connections may be open at once, on all listeners of a process together.

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
    warned_at: Arc<Mutex<Option<Instant>>>,
}

/// As many connections as the limit on open files allows.
impl Default for ConnectionLimit {
    fn default() -> Self {
        Self::new(open_files::connections())
    }
}

impl ConnectionLimit {
    /// So that a flood does not fill the log.
    const WARN_AGAIN_AFTER: Duration = Duration::from_mins(1);

    /// A budget of `total` connections.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            warned_at: Arc::default(),
        }
    }

    /// Waits for a place, which the permit holds.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 && self.should_warn() {
            tracing::warn!(
                connections = self.total,
                "as many connections as the listeners may hold are open; new ones wait until some end. If they are \
                 all real, add replicas, or raise the limit on open files if that is below 22,000"
            );
        }
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn should_warn(&self) -> bool {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let should = warned_at.is_none_or(|at| at.elapsed() >= Self::WARN_AGAIN_AFTER);
        if should {
            *warned_at = Some(Instant::now());
        }
        should
    }

    /// True while less than an eighth of the places is free.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.free.available_permits() < self.total / 8
    }
}
