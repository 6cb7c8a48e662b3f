//! What is counted about credentials.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// The `wxgate_credential_…` metrics and `wxgate_token_calls_today`.
#[derive(Clone)]
pub struct CredentialMetrics {
    pub(super) refreshes: IntCounterVec,
    pub(super) expiry: GaugeVec,
    pub(super) foreign: IntCounterVec,
    pub(super) calls_today: IntGaugeVec,
}

impl CredentialMetrics {
    /// Makes the metrics known to `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            refreshes: IntCounterVec::new(
                Opts::new(
                    "wxgate_credential_refreshes_total",
                    "Renewals, by what caused them and how they ended",
                ),
                &["app_id", "kind", "trigger", "outcome"],
            )?,
            expiry: GaugeVec::new(
                Opts::new(
                    "wxgate_credential_expiry_timestamp_seconds",
                    "When the credential held here ends (Unix time)",
                ),
                &["app_id", "kind"],
            )?,
            foreign: IntCounterVec::new(
                Opts::new(
                    "wxgate_credential_foreign_invalidations_total",
                    "Tokens that another system replaced",
                ),
                &["app_id"],
            )?,
            calls_today: IntGaugeVec::new(
                Opts::new(
                    "wxgate_token_calls_today",
                    "Token calls of the whole cluster today (Beijing time)",
                ),
                &["app_id"],
            )?,
        };
        registry.register(Box::new(metrics.refreshes.clone()))?;
        registry.register(Box::new(metrics.expiry.clone()))?;
        registry.register(Box::new(metrics.foreign.clone()))?;
        registry.register(Box::new(metrics.calls_today.clone()))?;
        Ok(metrics)
    }
}
