//! How an upload fails.

use std::time::Duration;

use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;
use crate::picture::Content;
use crate::wechat::CallError;

/// How an upload failed. `Clone`, because every caller that waited for it gets the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// The picture could not be downloaded from WeChat.
    #[error(transparent)]
    WeChat(#[from] TokenCallError),
    /// WeChat sent something that is not stored.
    #[error("{0}")]
    Rejected(Rejection),
    /// The image store failed, in each attempt.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// `media.max_concurrent` uploads are in progress.
    #[error("media.max_concurrent uploads are in progress")]
    Overloaded {
        /// When to ask again.
        retry_after: Duration,
    },
    /// Another replica is uploading the same picture, and has taken longer than an upload may take.
    #[error("another replica's upload of this picture did not end in time")]
    TimedOut,
    /// The upload ended without an outcome: a bug, or the process is ending.
    #[error("the upload ended without an outcome")]
    Lost,
}

impl From<CallError> for UploadError {
    fn from(error: CallError) -> Self {
        Self::WeChat(TokenCallError::Call(error))
    }
}

/// Why something is not stored; its text is the answer's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Its first bytes are not those of a kind in `media.allowed_types`.
    #[error("{}", describe(*found))]
    NotAPicture {
        /// What it is.
        found: Content,
        /// Its length in bytes, if WeChat announced it.
        bytes: Option<u64>,
    },
    /// It is a video: WeChat sends a link to it.
    #[error("a video, not a picture")]
    Video,
    /// It is larger than `media.max_bytes`.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
        /// Its length in bytes, if WeChat announced it.
        bytes: Option<u64>,
    },
}

fn describe(found: Content) -> String {
    match found {
        Content::Voice(_) => {
            format!(
                "a voice recording, not a picture: {found}; send the serverId of wx.uploadImage, not of wx.uploadVoice"
            )
        }
        Content::Video(_) => format!("a video, not a picture: {found}"),
        Content::Picture(_) | Content::Page | Content::Other(_) => format!("not an allowed kind of picture: {found}"),
    }
}

impl Rejection {
    /// What came instead of an allowed picture, for the log.
    pub(super) fn found(self) -> Option<String> {
        match self {
            Self::NotAPicture { found, .. } => Some(found.to_string()),
            Self::Video => Some("a link to a video".to_owned()),
            Self::TooLarge { .. } => None,
        }
    }

    /// Its length, if that is known.
    pub(super) fn bytes(self) -> Option<u64> {
        match self {
            Self::NotAPicture { bytes, .. } | Self::TooLarge { bytes, .. } => bytes,
            Self::Video => None,
        }
    }
}
