//! The disk under the folder: its work runs on a few blocking threads and has a time limit.
//!
//! A network disk that no longer answers keeps every thread that touches it. Without a bound those would be all of the
//! runtime's blocking threads, which also look up names: no call to WeChat could be made any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Half of the runtime's blocking threads.
const THREADS: usize = 8;

/// Access to the disk. Clones share its threads.
#[derive(Clone)]
pub(super) struct Disk {
    threads: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Disk {
    /// Work on the disk is tracked by `tasks`, so that the drain can wait for it.
    pub(super) fn new(tasks: &TaskTracker) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(THREADS)),
            tasks: tasks.clone(),
        }
    }

    /// Does `work` on a blocking thread, and fails with [`io::ErrorKind::TimedOut`] after `limit`, the wait for a thread
    /// included. Work that has begun can't be interrupted: it keeps its thread, and its result is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let done = async {
            let thread = Arc::clone(&self.threads).acquire_owned().await;
            let thread = thread.map_err(io::Error::other)?;
            let work = move || {
                let _thread = thread;
                work()
            };
            self.tasks.spawn_blocking(work).await.map_err(io::Error::other)?
        };
        let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        timeout(limit, done).await.unwrap_or_else(|elapsed| Err(slow(elapsed)))
    }

    /// Does `work` some time, for a caller that can't wait.
    pub(super) fn run_later(&self, work: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return work();
        };
        let disk = self.clone();
        let work = async move {
            if let Ok(_thread) = disk.threads.acquire().await {
                let _ = disk.tasks.spawn_blocking(work).await;
            }
        };
        self.tasks.spawn_on(work, &runtime);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn disk_that_hangs_leaves_threads_for_other_work() {
        let disk = Disk::new(&TaskTracker::new());
        let begun = Arc::new(AtomicUsize::new(0));
        let mut held = Vec::new();
        for _ in 0..3 * THREADS {
            let (release, blocked) = mpsc::channel::<()>();
            held.push(release);
            let begun = Arc::clone(&begun);
            let work = move || {
                begun.fetch_add(1, Ordering::SeqCst);
                blocked.recv().map_err(io::Error::other)
            };
            let failed = disk.run(Duration::from_millis(20), work).await.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        }
        let begun = || begun.load(Ordering::SeqCst);
        assert_eq!((begun(), disk.threads.available_permits()), (THREADS, 0));
        // Names are looked up on such threads.
        let addresses = tokio::net::lookup_host("localhost:80").await.unwrap();
        assert!(addresses.count() > 0);
        drop(held);
        disk.run(Duration::from_secs(10), || Ok(())).await.unwrap();
        assert_eq!(begun(), THREADS, "what waited in vain never begins");
    }
}
