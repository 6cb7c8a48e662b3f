//! Watches the folder while the gateway runs: checks that it is writable, and removes what killed processes left behind.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{LocalStore, is_partial};

/// How often the folder is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The pause between sweeps for leftovers: a folder with many files takes long to read.
const SWEEP_PAUSE: Duration = Duration::from_mins(10);
/// How much a check writes: a disk block, so that a full disk is noticed.
const BLOCK: usize = 4096;
/// The time limit of a check. During a burst of uploads a disk may need seconds.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
const SWEEP_LIMIT: Duration = Duration::from_mins(5);
/// An unfinished file older than this belongs to a killed process: no upload takes that long.
const ABANDONED: Duration = Duration::from_hours(1);

/// Whether pictures can be stored in the folder, and since when.
#[derive(Debug, Clone)]
pub struct FolderHealth {
    /// Why they can't be stored.
    pub problem: Option<String>,
    /// When that last changed.
    pub since: Instant,
}

impl LocalStore {
    /// Watches the folder until `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let checks = async {
            let mut ticks = interval(CHECK_INTERVAL);
            loop {
                ticks.tick().await;
                self.check().await;
            }
        };
        let sweeps = async {
            loop {
                let directory = self.directory.clone();
                if let Err(error) = self.disk.run(SWEEP_LIMIT, move || sweep(&directory)).await {
                    tracing::debug!(%error, "can't look for unfinished pictures");
                }
                sleep(SWEEP_PAUSE).await;
            }
        };
        stop.run_until_cancelled(async { tokio::join!(checks, sweeps) }).await;
    }

    /// Notes the outcome of a check; returns whether that has changed.
    fn note(&self, problem: Option<String>) -> bool {
        let mut health = self.health.lock();
        let changed = health.problem.is_some() != problem.is_some();
        if changed {
            health.since = Instant::now();
        }
        health.problem = problem;
        changed
    }

    async fn check(&self) {
        // A folder may exist and yet be full or read-only.
        let written = self.try_write(&[0; BLOCK], CHECK_LIMIT).await;
        let problem = written.err().map(|error| error.to_string());
        if !self.note(problem.clone()) {
            return;
        }
        let folder = self.directory.display();
        if let Some(problem) = problem {
            tracing::warn!(
                "the folder {folder} of image_store.local.directory can't be written to: {problem}; uploads fail, and pictures \
                 are not served if it is gone. Mount or create it, let the gateway's user write to it, or make room on its disk"
            );
        } else {
            tracing::info!("the folder {folder} of image_store.local.directory can be written to again");
        }
    }
}

/// Removes unfinished files that were last written long ago.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        if !entry.file_name().to_str().is_some_and(is_partial) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed an unfinished picture of a killed process");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use tokio_util::task::TaskTracker;

    use super::super::partial_name;
    use super::*;
    use crate::image_store::ImageName;
    use crate::picture::PictureKind;
    use crate::settings;

    #[tokio::test(start_paused = true)]
    async fn leftovers_of_a_killed_process_are_removed_while_it_watches() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings::LocalStore {
            directory: folder.path().to_owned(),
            ..Default::default()
        };
        let store = Arc::new(LocalStore::open(&settings, &TaskTracker::new()).await.unwrap());
        let stop = CancellationToken::new();
        let watching = tokio::spawn(Arc::clone(&store).watch(stop.clone()));
        sleep(Duration::from_secs(10)).await;
        let write = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            File::create(&path)
                .unwrap()
                .set_modified(SystemTime::now() - age)
                .unwrap();
            path
        };
        let partial = || partial_name(&ImageName::random(PictureKind::Png));
        let left = write(&partial(), Duration::from_mins(61));
        let kept = [
            write(&partial(), Duration::from_mins(59)),
            write(ImageName::random(PictureKind::Png).as_str(), Duration::from_hours(99)),
            write(".notes.partial", Duration::from_hours(99)),
        ];
        sleep(SWEEP_PAUSE * 2).await;
        assert!(!left.exists());
        for path in kept {
            assert!(path.exists(), "{}", path.display());
        }
        stop.cancel();
        watching.await.unwrap();
    }
}
