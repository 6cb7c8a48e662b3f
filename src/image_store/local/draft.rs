//! Unfinished files, which are removed unless they are completed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

/// A file that is being written.
pub(super) struct Draft {
    file: File,
    guard: RemoveOnDrop,
}

impl Draft {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let guard = RemoveOnDrop(Some(path));
        Ok(Self { file, guard })
    }

    pub(super) fn append(mut self, block: &[u8]) -> io::Result<Self> {
        self.file.write_all(block)?;
        Ok(self)
    }

    /// Flushes the file to the disk and renames it to `path`. It is still removed on drop.
    pub(super) fn publish(self, path: PathBuf) -> io::Result<RemoveOnDrop> {
        let Self { file, mut guard } = self;
        file.sync_all()?;
        // The new name is an entry of the folder, which must be flushed too. The folder is opened before the
        // rename: nothing may fail between the rename and the change of the guard.
        let directory = path.parent().map(File::open).transpose()?;
        if let Some(partial) = &guard.0 {
            fs::rename(partial, &path)?;
        }
        guard.0 = Some(path);
        directory.map_or(Ok(()), |directory| directory.sync_all())?;
        Ok(guard)
    }
}

/// Removes the file on drop, unless it is kept.
pub(super) struct RemoveOnDrop(Option<PathBuf>);

impl RemoveOnDrop {
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Hardly ever blocks, so this may run on one of the runtime's own threads.
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "can't remove an unfinished picture");
            }
        }
    }
}
