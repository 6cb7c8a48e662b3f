//! The disk under the folder, and its files: unfinished ones, which are removed unless they are completed, and stored
//! ones, open for reading.
//!
//! Disk operations run on a few blocking threads and have a time limit. A hanging network disk blocks every thread that
//! accesses it. Without a bound those would be all of the runtime's blocking threads, which also resolve host names: no
//! call to WeChat would be possible any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::picture::PictureKind;

/// Half the number of the runtime's blocking threads.
const THREADS: usize = 8;

/// Access to the disk. Clones share its threads.
#[derive(Clone)]
pub(super) struct Disk {
    threads: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Disk {
    /// Disk operations are tracked by `tasks`, so that the drain can wait for them.
    pub(super) fn new(tasks: &TaskTracker) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(THREADS)),
            tasks: tasks.clone(),
        }
    }

    /// Runs `work` on a blocking thread, and fails with [`io::ErrorKind::TimedOut`] after `limit`, including the wait for
    /// a thread. Work that has begun can't be interrupted: it keeps its thread, and its result is dropped.
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
        let done = timeout(limit, done).await;
        done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not respond")))
    }

    /// Runs `work` in the background, for a caller that can't wait.
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

/// Readable for the user's group, which may be a web server's.
const MODE: u32 = 0o640;

/// A file being written. It is removed on drop, unless it is kept.
pub(super) struct Draft {
    file: File,
    path: Option<PathBuf>,
    disk: Disk,
}

impl Draft {
    pub(super) fn create(path: PathBuf, disk: Disk) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path)?;
        let path = Some(path);
        Ok(Self { file, path, disk })
    }

    pub(super) fn append(mut self, block: &[u8]) -> io::Result<Self> {
        let written = self.file.write_all(block);
        self.kept_if(written)
    }

    /// Flushes the file to disk and renames it to `path`. It is still removed on drop.
    pub(super) fn publish(mut self, path: PathBuf) -> io::Result<Self> {
        let published = self.rename(path);
        self.kept_if(published)
    }

    fn rename(&mut self, path: PathBuf) -> io::Result<()> {
        self.file.sync_all()?;
        // The new name is an entry of the folder, which must be flushed too. The folder is opened before the rename,
        // since nothing may fail between the rename and the update of `self.path`.
        let directory = path.parent().map(File::open).transpose()?;
        if let Some(partial) = &self.path {
            fs::rename(partial, &path)?;
        }
        self.path = Some(path);
        directory.map_or(Ok(()), |directory| directory.sync_all())
    }

    /// The draft; after a failure it is removed at once, so that nothing is left when the failure is reported.
    fn kept_if(self, outcome: io::Result<()>) -> io::Result<Self> {
        match outcome {
            Ok(()) => Ok(self),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes the file at once. Only for blocking threads.
    pub(super) fn discard(mut self) {
        if let Some(path) = self.path.take() {
            remove(&path);
        }
    }

    pub(super) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // This may be one of the runtime's own threads, which a hanging disk must not block.
        if let Some(path) = self.path.take() {
            self.disk.run_later(move || remove(&path));
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "can't remove an unfinished picture");
    }
}

/// The size of a read.
const CHUNK: u64 = 64 * 1024;
/// The time limit for opening a picture, and for each read.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(5);

/// A picture in the folder.
pub struct StoredPicture {
    /// Its kind, according to its name.
    pub kind: PictureKind,
    /// Its length in bytes.
    pub length: u64,
    file: Arc<File>,
    disk: Disk,
}

impl StoredPicture {
    /// Opens the file at `path`; `None` if there is none, or something that the gateway can't have written: a link, a
    /// folder, a pipe, a device. So no link leads out of the folder, and opening never waits for another process.
    pub(super) fn open(path: &Path, kind: PictureKind, disk: Disk) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if is_no_file(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(Self {
            kind,
            length: metadata.len(),
            file: Arc::new(file),
            disk,
        }))
    }

    /// The bytes in `range`, which must be within the length.
    pub fn read(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(range.start, move |at| {
            let (file, disk) = (Arc::clone(&self.file), self.disk.clone());
            let length = usize::try_from(CHUNK.min(range.end - at)).unwrap_or_default();
            async move {
                if length == 0 {
                    return Ok(None);
                }
                let read = move || {
                    let mut chunk = vec![0; length];
                    file.read_exact_at(&mut chunk, at)?;
                    Ok(chunk)
                };
                let chunk = disk.run(READ_LIMIT, read).await?;
                Ok(Some((Bytes::from(chunk), at + length as u64)))
            }
        })
    }
}

/// True if there is no file that can be opened: nothing at all, a link, a socket, a device without a driver.
fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO))
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
        // Host names are resolved on such threads.
        let addresses = tokio::net::lookup_host("localhost:80").await.unwrap();
        assert!(addresses.count() > 0);
        drop(held);
        disk.run(Duration::from_secs(10), || Ok(())).await.unwrap();
        assert_eq!(begun(), THREADS, "work that timed out while it waited never begins");
    }
}
