//! The metrics of the internal listener.

use prometheus::{IntCounterVec, Opts, Registry};

/// `wxgate_internal_refusals_total`.
#[derive(Clone)]
pub struct InternalMetrics {
    refusals: IntCounterVec,
}

impl InternalMetrics {
    /// Registers the metrics in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let refusals = IntCounterVec::new(
            Opts::new(
                "wxgate_internal_refusals_total",
                "Callers of the internal listener that were refused, by reason",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self { refusals })
    }

    /// Counts a caller that was refused.
    pub(super) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }
}
