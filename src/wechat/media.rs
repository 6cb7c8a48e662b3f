//! Temporary media: `GET /cgi-bin/media/get`.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::CallError;

/// A media id as WeChat gives it: 1 to 512 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaId(String);

impl MediaId {
    /// The longest that is accepted. Ids seen have 63 or 64 characters.
    pub const MAX_LEN: usize = 512;

    /// Takes `text` for a media id; `None` where it can't be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(allowed);
        fine.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A media file on its way: known not to be an error in JSON, and nothing else.
pub struct MediaDownload {
    /// The length WeChat announced, in bytes.
    pub content_length: Option<u64>,
    /// The first bytes: [`crate::picture::Kind::HEAD`] at least, unless the file is shorter.
    pub head: Bytes,
    /// What follows `head`. Each wait for the next piece ends after `wechat.timeout`; a body shorter
    /// than announced ends with [`CallError::Body`].
    pub rest: BoxStream<'static, Result<Bytes, CallError>>,
}
