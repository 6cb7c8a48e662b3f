//! How an upload fails.

use std::time::Duration;

use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;
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

/// Why something is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Its first bytes are not those of a kind in `media.allowed_types`.
    #[error("not an allowed kind of picture")]
    NotAPicture,
    /// It is a video.
    #[error("a video, not a picture")]
    Video,
    /// It is larger than `media.max_bytes`.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}
