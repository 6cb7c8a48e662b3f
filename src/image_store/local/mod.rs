//! Pictures in a folder.
//!
//! A picture is written under a temporary name in the folder itself, flushed to the disk and renamed, so that
//! a reader finds it whole or not at all. Files are opened, written and renamed on the runtime's blocking
//! threads, in steps that can't be interrupted. Each step owns the guard that removes the file on drop, and
//! returns it at its end: if the put has been dropped meanwhile, so is the guard.

mod draft;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio_util::task::TaskTracker;

use self::draft::Draft;
use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure, body_failed};
use crate::picture::Kind;
use crate::settings::{self, values::PublicBase};

/// Short chunks are collected up to this length before they are written, since each write is a switch of threads.
const BLOCK: usize = Picture::MAX_CHUNK;
/// An unfinished file older than this belongs to a process that was killed: no upload takes so long.
const ABANDONED: Duration = Duration::from_hours(1);
/// The limit of flushing a picture and renaming it; a disk that takes longer is broken.
const TIME_LIMIT: Duration = Duration::from_secs(30);

const DIRECTORY: &str = "image_store.local.directory";

/// A folder of pictures, flat.
pub struct LocalStore {
    directory: PathBuf,
    base: PublicBase,
    tasks: TaskTracker,
}

impl LocalStore {
    /// Opens the folder, and creates it if it does not exist. Its files are written on `tasks`, on which
    /// leftovers of killed processes are removed first.
    pub fn open(settings: &settings::LocalStore, tasks: &TaskTracker) -> Result<Self, OpenError> {
        let directory = settings.directory.clone();
        let refuse = |what: &str, error: &io::Error| {
            OpenError::new(DIRECTORY, format!("{what} {}: {error}", directory.display()))
        };
        fs::create_dir_all(&directory).map_err(|error| refuse("can't make the folder", &error))?;
        let probe = directory.join(partial_name(&ImageName::random(Kind::Jpeg)));
        Draft::create(probe).map_err(|error| refuse("can't write to the folder", &error))?;
        let abandoned = directory.clone();
        tasks.spawn_blocking(move || sweep(&abandoned, SystemTime::now()));
        Ok(Self {
            directory,
            base: settings.public_base_url.clone(),
            tasks: tasks.clone(),
        })
    }

    /// The path of the URLs that it returns, without the name.
    #[must_use]
    pub fn public_path(&self) -> &str {
        self.base.path()
    }

    /// Where the picture called `name` would be, and its kind; `None` if it can't be a picture's name. So no
    /// request leads out of the folder or to an unfinished file.
    #[must_use]
    pub fn locate(&self, name: &str) -> Option<(PathBuf, Kind)> {
        let name = ImageName::parse(name)?;
        Some((self.directory.join(name.as_str()), name.kind()))
    }

    /// Runs `work` on a blocking thread. Dropping the put does not interrupt it, but the drain waits for it.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        match self.tasks.spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| StoreFailure::Broken(error.to_string())),
            Err(_) => Err(StoreFailure::Broken("writing was interrupted".to_owned())),
        }
    }

    async fn write(&self, mut picture: Picture) -> Result<String, StoreFailure> {
        let name = ImageName::random(picture.kind);
        let partial = self.directory.join(partial_name(&name));
        let mut draft = self.step(move || Draft::create(partial)).await?;
        let mut block = Vec::new();
        while let Some(chunk) = picture.body.next().await {
            let chunk = chunk.map_err(|error| body_failed(&error))?;
            if chunk.len() < BLOCK / 2 && block.len() + chunk.len() <= BLOCK {
                block.extend_from_slice(&chunk);
                continue;
            }
            let collected = std::mem::take(&mut block);
            draft = self.step(move || draft.append(&collected)?.append(&chunk)).await?;
        }
        let path = self.directory.join(name.as_str());
        let file = self.step(move || draft.append(&block)?.publish(path)).await?;
        file.keep();
        Ok(self.base.join(name.as_str()))
    }
}

impl ImageStore for LocalStore {
    fn put(&self, picture: Picture) -> BoxFuture<'_, Result<String, StoreFailure>> {
        self.write(picture).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreFailure>> {
        let partial = self.directory.join(partial_name(&ImageName::random(Kind::Jpeg)));
        self.step(move || Draft::create(partial).map(drop)).boxed()
    }

    fn take_back<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreFailure>> {
        let found = url.rsplit('/').next().and_then(|name| self.locate(name));
        async move {
            let Some((path, _)) = found else { return Ok(None) };
            let read_and_remove = move || {
                let bytes = fs::read(&path);
                fs::remove_file(&path)?;
                bytes.map(Bytes::from)
            };
            self.step(read_and_remove).await.map(Some)
        }
        .boxed()
    }

    fn attempts(&self) -> u32 {
        // A disk that is full stays full: the second attempt is for an interrupted call.
        2
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

fn partial_name(name: &ImageName) -> String {
    format!(".{name}.partial")
}

fn is_partial(file_name: &str) -> bool {
    let name = file_name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".partial"));
    name.and_then(ImageName::parse).is_some()
}

/// Removes unfinished files that were last written long before `now`.
fn sweep(directory: &Path, now: SystemTime) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_partial)) {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| now.duration_since(time).ok());
        if age.is_some_and(|age| age > ABANDONED) && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed an unfinished picture of a killed process");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_a_killed_process_are_removed_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let name = ImageName::random(Kind::Png);
        let (left, stored, foreign) = (
            folder.path().join(partial_name(&name)),
            folder.path().join(name.as_str()),
            folder.path().join(".notes.partial"),
        );
        for path in [&left, &stored, &foreign] {
            fs::write(path, "x").unwrap();
        }
        sweep(folder.path(), SystemTime::now() + Duration::from_mins(59));
        assert!(left.exists(), "its upload may still be running");
        sweep(folder.path(), SystemTime::now() + Duration::from_mins(61));
        assert!(!left.exists());
        assert!(stored.exists() && foreign.exists(), "only its own leftovers");
    }

    #[tokio::test]
    async fn only_names_of_pictures_lead_into_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("made/on/the/way");
        let settings = settings::LocalStore {
            directory: directory.clone(),
            ..Default::default()
        };
        let store = LocalStore::open(&settings, &TaskTracker::new()).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "the probe is gone");
        let name = "0123456789abcdef0123456789abcdef.heic";
        assert_eq!(store.locate(name), Some((directory.join(name), Kind::Heic)));
        for name in [
            "",
            ".",
            "..",
            "../secret",
            "/etc/passwd",
            "%2e%2e",
            ".0123456789abcdef0123456789abcdef.heic.partial",
        ] {
            assert_eq!(store.locate(name), None, "{name}");
        }
    }

    #[tokio::test]
    async fn folder_that_cannot_be_created_is_named_in_the_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = settings::LocalStore {
            directory: file.path().join("images"),
            ..Default::default()
        };
        let error = LocalStore::open(&settings, &TaskTracker::new())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("image_store.local.directory: can't make the folder /"),
            "{error}"
        );
    }
}
