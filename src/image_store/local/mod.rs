//! Pictures in a folder.
//!
//! A picture is written under a temporary name in the folder itself, flushed to disk and renamed, so that a reader finds
//! all of it or nothing. Files are opened, written and renamed on blocking threads (`disk`), in steps that can't be
//! interrupted. Each step owns the guard that removes the file on drop, and returns it at its end: if the put has been
//! dropped meanwhile, so is the guard.

mod disk;
mod watch;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use self::disk::StoredPicture;
use self::disk::{Disk, Draft, READ_LIMIT};
pub use self::watch::FolderHealth;
use super::{ImageName, ImageStore, Picture, StoreFailure, body_failed};
use crate::picture::PictureKind;
use crate::settings::values::{BasePath, PublicBase};
use crate::settings::{self, UnusableSetting};

/// Short chunks are collected up to this length before they are written, since each write needs a thread switch.
const BLOCK: usize = Picture::MAX_CHUNK;
/// The time limit of each step of writing a picture. Flushing takes longest; a disk that needs more time than this is broken.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The mode of a newly created folder: readable for the user's group, which may be a web server's.
const MODE: u32 = 0o750;

const DIRECTORY: &str = "image_store.local.directory";

/// A folder of pictures, flat.
pub struct LocalStore {
    directory: PathBuf,
    base: PublicBase,
    disk: Disk,
    health: Mutex<FolderHealth>,
}

impl LocalStore {
    /// Opens the folder, and creates it if it does not exist. Disk operations are tracked by `tasks`.
    pub async fn open(settings: &settings::LocalStore, tasks: &TaskTracker) -> Result<Self, UnusableSetting> {
        let store = Self {
            directory: settings.directory.clone(),
            base: settings.public_base_url.clone(),
            disk: Disk::new(tasks),
            health: Mutex::new(FolderHealth {
                problem: None,
                since: Instant::now(),
            }),
        };
        let refuse = |what: &str, error: &io::Error| {
            UnusableSetting::new(DIRECTORY, format!("{what} {}: {error}", store.directory.display()))
        };
        let directory = store.directory.clone();
        let create = move || {
            let missing = !directory.exists();
            let created = DirBuilder::new().recursive(true).mode(MODE).create(directory);
            created.map(|()| missing)
        };
        let created = store.disk.run(TIME_LIMIT, create).await;
        let was_missing = created.map_err(|error| refuse("can't create the folder", &error))?;
        let written = store.try_write(&[], TIME_LIMIT).await;
        written.map_err(|error| refuse("can't write to the folder", &error))?;
        if was_missing {
            tracing::info!(
                "the folder {} of {DIRECTORY} did not exist, and was created. If pictures were stored in it before, check \
                 that its disk is mounted",
                store.directory.display()
            );
        }
        Ok(store)
    }

    /// Writes `bytes` to a file, as an upload does, and removes it.
    async fn try_write(&self, bytes: &'static [u8], limit: Duration) -> io::Result<()> {
        let partial = self.directory.join(partial_name(&ImageName::random(PictureKind::Jpeg)));
        let disk = self.disk.clone();
        let write = move || Draft::create(partial, disk)?.append(bytes).map(Draft::discard);
        self.disk.run(limit, write).await
    }

    /// The route of the pictures, without `base_path` and the picture's name.
    pub fn route(&self, base_path: &BasePath) -> &str {
        self.base.route(base_path)
    }

    /// Whether pictures can be stored in the folder.
    pub fn health(&self) -> FolderHealth {
        self.health.lock().clone()
    }

    /// The picture called `name`, if there is one. Fails with [`io::ErrorKind::TimedOut`] if the disk hangs.
    pub async fn open_picture(&self, name: &str) -> io::Result<Option<StoredPicture>> {
        let Some((path, kind)) = self.locate(name) else {
            return Ok(None);
        };
        let disk = self.disk.clone();
        self.disk
            .run(READ_LIMIT, move || StoredPicture::open(&path, kind, disk))
            .await
    }

    /// The path of the picture called `name`, and its kind; `None` if this can't be a picture's name. So no request leads
    /// out of the folder or to an unfinished file.
    fn locate(&self, name: &str) -> Option<(PathBuf, PictureKind)> {
        let name = ImageName::parse(name)?;
        Some((self.directory.join(name.as_str()), name.kind()))
    }

    /// Runs one step of a put. Dropping the put does not interrupt the step, and the drain waits for it.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        self.disk.run(TIME_LIMIT, work).await.map_err(|error| failed(&error))
    }
}

#[async_trait]
impl ImageStore for LocalStore {
    async fn put(&self, mut picture: Picture) -> Result<String, StoreFailure> {
        let name = ImageName::random(picture.kind);
        let partial = self.directory.join(partial_name(&name));
        let disk = self.disk.clone();
        let mut draft = self.step(move || Draft::create(partial, disk)).await?;
        let mut block = Vec::new();
        while let Some(chunk) = picture.body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    // Before the error is returned, so that a caller who sees the error finds nothing.
                    let discard = move || {
                        draft.discard();
                        Ok(())
                    };
                    self.step(discard).await?;
                    return Err(body_failed(&error));
                }
            };
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

    async fn take_back(&self, url: &str) -> Result<Option<Bytes>, StoreFailure> {
        let found = url.rsplit('/').next().and_then(|name| self.locate(name));
        let Some((path, _)) = found else { return Ok(None) };
        let read_and_remove = move || {
            let bytes = fs::read(&path);
            fs::remove_file(&path)?;
            bytes.map(Bytes::from)
        };
        self.step(read_and_remove).await.map(Some)
    }

    fn attempts(&self) -> u32 {
        // The second attempt is for an interrupted system call.
        2
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

/// A full, read-only or missing disk refuses the next attempt too.
fn failed(error: &io::Error) -> StoreFailure {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::TimedOut => StoreFailure::TimedOut,
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotFound
        | ErrorKind::NotADirectory => StoreFailure::Refused(format!("{error}; look at {DIRECTORY}")),
        _ => StoreFailure::Broken(error.to_string()),
    }
}

fn partial_name(name: &ImageName) -> String {
    format!(".{}.partial", name.as_str())
}

fn is_partial(file_name: &str) -> bool {
    let name = file_name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".partial"));
    name.and_then(ImageName::parse).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_names_of_pictures_lead_into_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("made/on/the/way");
        let settings = settings::LocalStore {
            directory: directory.clone(),
            ..Default::default()
        };
        let store = LocalStore::open(&settings, &TaskTracker::new()).await.unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "the probe is gone");
        let digits = "0123456789abcdef0123456789abcdef";
        let name = format!("{digits}.heic");
        assert_eq!(store.locate(&name), Some((directory.join(&name), PictureKind::Heic)));
        for name in ["", ".", "..", "../secret", "/etc/passwd", "%2e%2e", digits] {
            assert_eq!(store.locate(name), None, "{name}");
        }
        for name in [
            ".{}.heic.partial",
            "{}.",
            "{}.svg",
            "{}.JPG",
            "{}.jpg/..",
            "{}.jpg\0",
            "{}/jpg",
            "../{}.jpg",
            "A{}.jpg",
        ] {
            let name = name.replace("{}", digits);
            assert_eq!(store.locate(&name), None, "{name}");
        }
        for start in [
            digits.to_uppercase(),
            digits[..31].to_owned(),
            format!("{}é", &digits[..31]),
        ] {
            assert_eq!(store.locate(&format!("{start}.jpg")), None, "{start}");
        }
    }
}
