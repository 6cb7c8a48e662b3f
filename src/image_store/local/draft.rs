//! Unfinished files, which are removed unless they are completed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// Readable for the user's group, which may be a web server's.
const MODE: u32 = 0o640;

/// A file that is being written.
pub(super) struct Draft {
    file: File,
    guard: RemoveOnDrop,
}

impl Draft {
    pub(super) fn create(path: PathBuf, disk: Disk) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path)?;
        let guard = RemoveOnDrop { path: Some(path), disk };
        Ok(Self { file, guard })
    }

    pub(super) fn append(mut self, block: &[u8]) -> io::Result<Self> {
        match self.file.write_all(block) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes the file at once. For blocking threads.
    pub(super) fn discard(self) {
        self.guard.remove();
    }

    /// Flushes the file to the disk and renames it to `path`. It is still removed on drop.
    pub(super) fn publish(self, path: PathBuf) -> io::Result<RemoveOnDrop> {
        let Self { file, mut guard } = self;
        match guard.publish(&file, path) {
            Ok(()) => Ok(guard),
            Err(error) => {
                guard.remove();
                Err(error)
            }
        }
    }
}

/// Removes the file on drop, unless it is kept.
pub(super) struct RemoveOnDrop {
    path: Option<PathBuf>,
    disk: Disk,
}

impl RemoveOnDrop {
    pub(super) fn keep(mut self) {
        self.path = None;
    }

    fn publish(&mut self, file: &File, path: PathBuf) -> io::Result<()> {
        file.sync_all()?;
        // The new name is an entry of the folder, which must be flushed too. The folder is opened before the
        // rename: nothing may fail between the rename and the change of the path.
        let directory = path.parent().map(File::open).transpose()?;
        if let Some(partial) = &self.path {
            fs::rename(partial, &path)?;
        }
        self.path = Some(path);
        directory.map_or(Ok(()), |directory| directory.sync_all())
    }

    fn remove(mut self) {
        if let Some(path) = self.path.take() {
            remove(&path);
        }
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // This may be one of the runtime's own threads, which a disk that hangs must not keep.
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
