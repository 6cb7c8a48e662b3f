//! The metrics of uploads.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use super::error::UploadError;
use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;
use crate::labelled::labelled;
use crate::wechat::{CallError, ErrCode};

labelled! {
    /// How an upload ended, as the label `outcome`.
    pub(super) enum Outcome {
        /// Downloaded and stored.
        Stored = "stored",
        /// Stored before; its URL was remembered.
        Remembered = "remembered",
        /// Asked for while the same picture was being uploaded, whose outcome is counted too.
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

impl From<&UploadError> for Outcome {
    fn from(error: &UploadError) -> Self {
        match error {
            UploadError::WeChat(TokenCallError::Unavailable(_)) => Outcome::Unavailable,
            UploadError::WeChat(TokenCallError::Call(call)) => match call {
                CallError::TimedOut => Outcome::Timeout,
                CallError::Refused { code, .. } if *code == ErrCode::INVALID_MEDIA_ID => Outcome::NotFound,
                CallError::Unreachable(_)
                | CallError::Interrupted(_)
                | CallError::Status(_)
                | CallError::Body(_)
                | CallError::Refused { .. } => Outcome::WeChatError,
            },
            UploadError::Rejected(_) => Outcome::Rejected,
            UploadError::Store(StoreFailure::TimedOut) | UploadError::TimedOut => Outcome::Timeout,
            UploadError::Store(StoreFailure::Broken(_) | StoreFailure::Refused(_)) => Outcome::StoreError,
            UploadError::Overloaded { .. } => Outcome::Overloaded,
            UploadError::Lost => Outcome::Lost,
        }
    }
}

/// The counters of uploads. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct UploadMetrics {
    total: IntCounterVec,
    bytes: IntCounter,
    in_flight: IntGauge,
}

impl UploadMetrics {
    /// Makes the counters and registers them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            total: register_int_counter_vec_with_registry!(
                "wxgate_uploads_total",
                "Uploads asked for, by how they ended.",
                &["outcome"],
                registry
            )?,
            bytes: register_int_counter_with_registry!(
                "wxgate_upload_bytes_total",
                "Bytes of the pictures stored.",
                registry
            )?,
            in_flight: register_int_gauge_with_registry!("wxgate_uploads_in_flight", "Uploads in progress.", registry)?,
        };
        // Every outcome is 0 from the start, so that a rate is right from the first one.
        for outcome in Outcome::ALL {
            metrics.total.with_label_values(&[outcome.label()]);
        }
        Ok(metrics)
    }

    pub(super) fn count(&self, outcome: Outcome) {
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

/// An upload in flight.
pub(super) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
