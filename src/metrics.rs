//! Every metric of the gateway, each defined on the floor that counts it, in one registry per
//! gateway, so that two gateways can live in one process.

use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry, TextEncoder};

use crate::credentials::CredentialMetrics;
use crate::media::UploadMetrics;
use crate::wechat::WeChatMetrics;

/// The gateway's metrics.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Calls to WeChat.
    pub wechat: WeChatMetrics,
    /// Tokens and tickets.
    pub credentials: CredentialMetrics,
    /// Uploads.
    pub uploads: UploadMetrics,
    /// 1 while Redis answers.
    pub redis_up: IntGauge,
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let redis_up = IntGauge::new(
            "wxgate_redis_up",
            "1 while Redis answers, 0 while it does not or is not used",
        )?;
        registry.register(Box::new(redis_up.clone()))?;
        Ok(Self {
            wechat: WeChatMetrics::register(&registry)?,
            credentials: CredentialMetrics::register(&registry)?,
            uploads: UploadMetrics::register(&registry)?,
            redis_up,
            registry,
        })
    }

    /// Where floors above this one make their own metrics known.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics as they stand, for the console.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
