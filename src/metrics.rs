//! All metrics of the gateway, each defined by the module that counts it, in one registry per gateway, so that one
//! process can run several gateways.

#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry, register_int_gauge_with_registry};

use crate::credentials::CredentialMetrics;
use crate::upload::UploadMetrics;
use crate::wechat::WeChatMetrics;

/// The gateway's metrics.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) registry: Registry,
    /// Calls to WeChat.
    pub wechat: WeChatMetrics,
    /// Tokens and tickets.
    pub(crate) credentials: CredentialMetrics,
    /// Uploads.
    pub uploads: UploadMetrics,
    /// 1 while Redis answers, 0 while it does not; absent if no Redis is used.
    pub redis_up: Option<IntGauge>,
}

impl Metrics {
    /// All metrics, at zero. `redis` is true if Redis is used.
    pub fn new(redis: bool) -> prometheus::Result<Self> {
        let registry = Registry::new();
        // Memory, CPU time, open files and start time of the process, under the names that all exporters use.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build_info = Opts::new("wxgate_build_info", "1, with the version as a label");
        let build_info = build_info.const_label("version", env!("CARGO_PKG_VERSION"));
        register_int_gauge_with_registry!(build_info, registry)?.set(1);
        let about = "1 while Redis answers, 0 while it does not";
        let redis_up = redis.then(|| register_int_gauge_with_registry!("wxgate_redis_up", about, registry));
        Ok(Self {
            wechat: WeChatMetrics::register(&registry)?,
            credentials: CredentialMetrics::register(&registry)?,
            uploads: UploadMetrics::register(&registry)?,
            redis_up: redis_up.transpose()?,
            registry,
        })
    }
}
