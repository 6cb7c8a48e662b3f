//! The metrics of uploads.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::error::UploadError;
use crate::credentials::TokenCallError;
use crate::image_store::StoreFailure;
use crate::wechat::{CallError, ErrCode};

/// How an upload ended, as the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Downloaded and stored.
    Stored,
    /// Stored before; its URL was remembered.
    Remembered,
    /// Asked for while the same picture was being uploaded, whose outcome is counted too.
    Joined,
    Rejected,
    NotFound,
    WeChatError,
    Unavailable,
    StoreError,
    Overloaded,
    Timeout,
    Lost,
}

impl Outcome {
    const ALL: [Outcome; 11] = [
        Outcome::Stored,
        Outcome::Remembered,
        Outcome::Joined,
        Outcome::Rejected,
        Outcome::NotFound,
        Outcome::WeChatError,
        Outcome::Unavailable,
        Outcome::StoreError,
        Outcome::Overloaded,
        Outcome::Timeout,
        Outcome::Lost,
    ];

    fn label(self) -> &'static str {
        match self {
            Outcome::Stored => "stored",
            Outcome::Remembered => "remembered",
            Outcome::Joined => "joined",
            Outcome::Rejected => "rejected",
            Outcome::NotFound => "not_found",
            Outcome::WeChatError => "wechat_error",
            Outcome::Unavailable => "unavailable",
            Outcome::StoreError => "store_error",
            Outcome::Overloaded => "overloaded",
            Outcome::Timeout => "timeout",
            Outcome::Lost => "lost",
        }
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
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("wxgate_uploads_total", "Uploads asked for, by how they ended.");
        let total = IntCounterVec::new(opts, &["outcome"])?;
        // Every outcome is 0 from the start, so that a rate is right from the first one.
        for outcome in Outcome::ALL {
            total.with_label_values(&[outcome.label()]);
        }
        let metrics = Self {
            total,
            bytes: IntCounter::new("wxgate_upload_bytes_total", "Bytes of the pictures stored.")?,
            in_flight: IntGauge::new("wxgate_uploads_in_flight", "Uploads in progress.")?,
        };
        let collectors: [Box<dyn Collector>; 3] = [
            Box::new(metrics.total.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.in_flight.clone()),
        ];
        collectors
            .into_iter()
            .try_for_each(|collector| registry.register(collector))?;
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
