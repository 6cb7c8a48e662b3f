//! How an upload fails.

use std::time::Duration;

use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;

/// How an upload failed. `Clone`, because every caller that waited for it gets the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// The picture could not be had from WeChat.
    #[error(transparent)]
    WeChat(#[from] TokenCallError),
    /// WeChat sent something that is not stored.
    #[error("{0}")]
    Rejected(Rejection),
    /// The image store failed, as often as it was tried.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// `media.max_concurrent` uploads are under way.
    #[error("as many uploads as media.max_concurrent allows are under way")]
    Overloaded {
        /// When to ask again.
        retry_after: Duration,
    },
    /// Another replica has this very picture under way, and took longer than an upload may take.
    #[error("another replica's upload of this picture did not end in time")]
    TimedOut,
    /// The upload ended without an outcome: a bug, or the process is ending.
    #[error("the upload ended without an outcome")]
    Lost,
}

/// Why something is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Its first bytes are those of no picture that `media.allowed_types` names.
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
