//! The metrics of the internal listener.

use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};

use crate::account::AppId;

/// `wxgate_internal_refusals_total` and `wxgate_client_calls_total`.
#[derive(Clone)]
pub struct InternalMetrics {
    refusals: IntCounterVec,
    calls: IntCounterVec,
}

impl InternalMetrics {
    /// Registers the metrics in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            refusals: register_int_counter_vec_with_registry!(
                "wxgate_internal_refusals_total",
                "Callers of the internal listener that were refused, by reason",
                &["reason"],
                registry
            )?,
            calls: register_int_counter_vec_with_registry!(
                "wxgate_client_calls_total",
                "Calls passed through with a token that was put in for a client",
                &["client", "app_id"],
                registry
            )?,
        })
    }

    /// Counts a caller that was refused.
    pub(super) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a call of `client` that the account's token was put into.
    pub(super) fn called(&self, client: &str, app_id: &AppId) {
        self.calls.with_label_values(&[client, app_id.as_str()]).inc();
    }
}
