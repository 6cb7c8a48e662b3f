//! Temporary media: uploaded files, until they expire or exceed the capacity.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::config::SandboxConfig;
use super::random;
use crate::picture::PictureKind;

/// A file to upload.
#[derive(Debug, Clone)]
pub struct Upload {
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<String>,
    pub(super) filename: Option<String>,
}

impl Upload {
    /// A file whose type is detected from its bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            content_type: None,
            filename: None,
        }
    }

    /// Sets its `Content-Type`, which may be wrong.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the file name that `media/get` returns, unchecked, instead of one derived from the media id.
    #[must_use]
    pub fn filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }
}

/// A file as `media/get` returns it.
pub(super) struct File {
    id: String,
    pub(super) bytes: Bytes,
    pub(super) content_type: String,
    pub(super) filename: String,
    uploaded: Instant,
}

/// All files of one account, oldest first.
#[derive(Default)]
pub(super) struct MediaFiles {
    pub(super) files: VecDeque<File>,
    /// In bytes.
    size: usize,
}

impl MediaFiles {
    /// Stores a file and returns its media id.
    pub(super) fn add(&mut self, upload: Upload, config: &SandboxConfig, now: Instant) -> String {
        while self
            .files
            .front()
            .is_some_and(|file| now >= file.uploaded + config.media_ttl)
        {
            self.forget_oldest();
        }
        // As long as WeChat's.
        let id = random::text(64);
        let detected = PictureKind::sniff(&upload.bytes).map_or("application/octet-stream", PictureKind::media_type);
        let content_type = upload.content_type.unwrap_or_else(|| detected.to_owned());
        let named = || format!("{id}.{}", extension(&content_type));
        self.size += upload.bytes.len();
        self.files.push_back(File {
            id: id.clone(),
            filename: upload.filename.unwrap_or_else(named),
            bytes: upload.bytes,
            content_type,
            uploaded: now,
        });
        while self.size > config.media_capacity && self.files.len() > 1 {
            self.forget_oldest();
        }
        id
    }

    /// The file with this media id, unless it has expired.
    pub(super) fn get(&self, id: &str, config: &SandboxConfig, now: Instant) -> Option<&File> {
        // Most calls are for a new file.
        let file = self.files.iter().rfind(|file| file.id == id)?;
        (now < file.uploaded + config.media_ttl).then_some(file)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.files.pop_front();
        self.size -= oldest.map_or(0, |file| file.bytes.len());
    }
}

/// The extension that WeChat gives to a file of this type.
fn extension(content_type: &str) -> &str {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "image/jpeg" | "image/jpg" => "jpg",
        "audio/amr" => "amr",
        "voice/speex" => "speex",
        "text/plain" => "txt",
        other => match other.split_once('/') {
            Some((_, kind)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()) => kind,
            _ => "bin",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn file(size: usize) -> Upload {
        Upload::new(vec![0; size])
    }

    #[test]
    fn file_expires_after_three_days() {
        let (mut media, config, t0) = (MediaFiles::default(), SandboxConfig::default(), Instant::now());
        let id = media.add(file(1), &config, t0);
        assert_eq!(id.len(), 64);
        let end = t0 + Duration::from_hours(72);
        assert!(media.get(&id, &config, end - Duration::from_secs(1)).is_some());
        assert!(media.get(&id, &config, end).is_none());
        media.add(file(1), &config, end);
        assert_eq!((media.files.len(), media.size), (1, 1));
    }

    #[test]
    fn oldest_files_are_dropped_above_the_capacity() {
        let config = SandboxConfig {
            media_capacity: 10,
            ..SandboxConfig::default()
        };
        let (mut media, t0) = (MediaFiles::default(), Instant::now());
        let [a, b, c] = [4, 4, 4].map(|size| media.add(file(size), &config, t0));
        assert!(media.get(&a, &config, t0).is_none());
        assert!(media.get(&b, &config, t0).is_some() && media.get(&c, &config, t0).is_some());
    }

    #[test]
    fn extensions_follow_the_type() {
        for (content_type, ext) in [
            ("image/jpeg", "jpg"),
            ("image/png", "png"),
            ("image/heic", "heic"),
            ("video/mp4; x=y", "mp4"),
            ("audio/amr", "amr"),
            ("../../etc", "bin"),
            ("", "bin"),
        ] {
            assert_eq!(extension(content_type), ext);
        }
    }
}
