//! How an upload ends: its errors, and the outcomes counted in metrics.

use std::time::Duration;

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;
use crate::labelled::labelled;
use crate::picture::Content;
use crate::wechat::{CallError, ErrCode};

/// How an upload failed. `Clone`, because all callers that share the upload get the same error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// The picture could not be downloaded from WeChat.
    #[error(transparent)]
    WeChat(#[from] TokenCallError),
    /// WeChat sent something that must not be stored.
    #[error("{0}")]
    Rejected(Rejection),
    /// The image store failed, in every attempt.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// `media.max_concurrent` uploads are in progress.
    #[error("media.max_concurrent uploads are in progress")]
    Overloaded {
        /// When to retry.
        retry_after: Duration,
    },
    /// Another replica is uploading the same picture, and has taken longer than an upload may take.
    #[error("another replica's upload of this picture did not end in time")]
    TimedOut,
    /// The upload ended without a result, because of a bug or because the process is shutting down.
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
        /// What it is instead.
        found: Content,
        /// Its length in bytes, if WeChat announced it.
        bytes: Option<u64>,
    },
    /// It is a video, for which WeChat sends a link.
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

    /// Its length, if known.
    pub(super) fn bytes(self) -> Option<u64> {
        match self {
            Self::NotAPicture { bytes, .. } | Self::TooLarge { bytes, .. } => bytes,
            Self::Video => None,
        }
    }
}

labelled! {
    /// How an upload ended, as the label `outcome`.
    pub(super) enum UploadOutcome {
        /// Downloaded and stored.
        Stored = "stored",
        /// Stored earlier; its URL was remembered.
        Remembered = "remembered",
        /// Requested while the same picture was being uploaded, whose outcome is counted too.
        Joined = "joined",
        Rejected = "rejected",
        NotFound = "not_found",
        WeChatError = "wechat_error",
        Unavailable = "unavailable",
        StoreError = "store_error",
        Overloaded = "overloaded",
        Timeout = "timeout",
        Lost = "lost",
    }
}

impl From<&UploadError> for UploadOutcome {
    fn from(error: &UploadError) -> Self {
        match error {
            UploadError::WeChat(TokenCallError::Unavailable(_)) => UploadOutcome::Unavailable,
            UploadError::WeChat(TokenCallError::Call(call)) => match call {
                CallError::TimedOut => UploadOutcome::Timeout,
                CallError::Refused { code, .. } if *code == ErrCode::INVALID_MEDIA_ID => UploadOutcome::NotFound,
                CallError::Unreachable(_)
                | CallError::Interrupted(_)
                | CallError::Status(_)
                | CallError::Body(_)
                | CallError::Refused { .. } => UploadOutcome::WeChatError,
            },
            UploadError::Rejected(_) => UploadOutcome::Rejected,
            UploadError::Store(StoreFailure::TimedOut) | UploadError::TimedOut => UploadOutcome::Timeout,
            UploadError::Store(StoreFailure::Broken(_) | StoreFailure::Refused(_)) => UploadOutcome::StoreError,
            UploadError::Overloaded { .. } => UploadOutcome::Overloaded,
            UploadError::Lost => UploadOutcome::Lost,
        }
    }
}

/// The counters of uploads. Cheap to clone; clones share the counters.
#[derive(Clone)]
pub struct UploadMetrics {
    total: IntCounterVec,
    bytes: IntCounter,
    in_flight: IntGauge,
}

impl UploadMetrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            total: register_int_counter_vec_with_registry!(
                "wxgate_uploads_total",
                "Requested uploads, by outcome",
                &["outcome"],
                registry
            )?,
            bytes: register_int_counter_with_registry!(
                "wxgate_upload_bytes_total",
                "Bytes of the pictures stored",
                registry
            )?,
            in_flight: register_int_gauge_with_registry!("wxgate_uploads_in_flight", "Uploads in progress", registry)?,
        };
        // Every outcome is exported as 0 from the start, so that rates include the first one.
        for outcome in UploadOutcome::ALL {
            metrics.total.with_label_values(&[outcome.label()]);
        }
        Ok(metrics)
    }

    pub(super) fn count(&self, outcome: UploadOutcome) {
        self.total.with_label_values(&[outcome.label()]).inc();
    }

    pub(super) fn count_bytes(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    /// Counts an upload as in flight until the guard is dropped.
    pub(super) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

pub(super) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
