//! Limits on open connections, on all listeners of a process together, and on open files.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A budget of connections. Beyond it, new ones wait in the kernel's queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    free: Arc<Semaphore>,
    total: usize,
    /// When "connection limit reached" was last logged.
    full: Arc<LogInterval>,
    /// When "connections can't be accepted" was last logged.
    refused: Arc<LogInterval>,
}

/// Allows a log line once a minute, so that a flood of connections does not cause a flood of log lines.
#[derive(Debug, Default)]
struct LogInterval(Mutex<Option<Instant>>);

impl LogInterval {
    const INTERVAL: Duration = Duration::from_mins(1);

    fn is_due(&self) -> bool {
        let mut logged = self.0.lock();
        let is_due = logged.is_none_or(|at| at.elapsed() >= Self::INTERVAL);
        if is_due {
            *logged = Some(Instant::now());
        }
        is_due
    }
}

impl Default for ConnectionLimit {
    /// As many connections as leave a quarter of the open files to Redis, WeChat and uploads, even if each connection
    /// reads a picture from the local store, which is an open file too.
    fn default() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files / 4 * 3 / FILES_PER_CONNECTION).unwrap_or(usize::MAX);
        Self::new(most.clamp(16, MAX_CONNECTIONS))
    }
}

impl ConnectionLimit {
    /// A budget of `total` connections.
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            full: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// Waits until another connection is allowed; it counts until the permit is dropped.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 && self.full.is_due() {
            tracing::warn!(
                connections = self.total,
                "connection limit reached; new connections wait until others close. If they are all legitimate, add replicas, \
                 or raise the limit on open files if that is below 44,000"
            );
        }
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Logs that no connection can be accepted, probably because the process has too many open files.
    pub(super) fn warn_of_refusal(&self, error: &io::Error) {
        if self.refused.is_due() {
            tracing::warn!(%error, "connections can't be accepted now; if open files are exhausted, raise the limit on them");
        }
    }

    /// True while less than an eighth of the budget is left.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.free.available_permits() < self.total / 8
    }
}

/// The maximum number of connections, if the limit on open files allows them.
const MAX_CONNECTIONS: usize = 16_384;

/// The open files per connection: its socket, and the picture that it reads.
const FILES_PER_CONNECTION: u64 = 2;

/// Raises the limit on open files to the hard limit: the usual 1024 is for programs that use `select`. If that is
/// refused, the limit stays as it is.
pub fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}
