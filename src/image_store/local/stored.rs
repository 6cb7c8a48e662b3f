//! A picture in the folder, open for reading.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use super::disk::Disk;
use crate::picture::Kind;

/// How much is read at once.
const CHUNK: u64 = 64 * 1024;
/// The limit of opening a picture, and of each read.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(5);

/// A picture in the folder.
pub struct StoredPicture {
    /// Its kind, as its name has it.
    pub kind: Kind,
    /// Its length in bytes.
    pub length: u64,
    /// When it was stored.
    pub modified: SystemTime,
    file: Arc<File>,
    disk: Disk,
}

impl StoredPicture {
    /// Opens the file at `path`; `None` if there is none, or something that the gateway can't have written: a link, a
    /// folder, a pipe, a device. So no link leads out of the folder, and no open waits for somebody else.
    pub(super) fn open(path: &Path, kind: Kind, disk: Disk) -> io::Result<Option<Self>> {
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
            modified: metadata.modified()?,
            file: Arc::new(file),
            disk,
        }))
    }

    /// The bytes in `range`, which is within the length.
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

/// Whether there is no file that can be opened: nothing at all, a link, a socket, a device without its driver.
fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO))
}
