//! The metrics of calls to WeChat.

use prometheus::{
    HistogramVec, IntCounterVec, Registry, register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
};
use tokio::time::Instant;

use super::CallError;
use crate::labelled::labelled;

labelled! {
    /// One of the calls that the gateway makes.
    pub(super) enum Api {
        Token = "token",
        StableToken = "stable_token",
        Ticket = "getticket",
        Media = "media_get",
        Probe = "get_api_domain_ip",
        PassThrough = "pass_through",
    }
}

/// `wxgate_wechat_requests_total` and `wxgate_wechat_request_duration_seconds`.
#[derive(Clone)]
pub struct WeChatMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl WeChatMetrics {
    /// Registers the metrics in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let buckets = vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "wxgate_wechat_requests_total",
                "Calls to WeChat, by API and outcome",
                &["api", "outcome"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "wxgate_wechat_request_duration_seconds",
                "Time until WeChat's answer began or failed",
                &["api"],
                buckets,
                registry
            )?,
        })
    }

    pub(super) fn observe(&self, api: Api, started: Instant, error: Option<&CallError>) {
        let outcome = match error {
            None => "ok",
            Some(CallError::Unreachable(_)) => "unreachable",
            Some(CallError::TimedOut) => "timed_out",
            Some(CallError::Interrupted(_)) => "interrupted",
            Some(CallError::Status(_)) => "status",
            Some(CallError::Body(_)) => "body",
            Some(CallError::Refused { .. }) => "refused",
        };
        self.requests.with_label_values(&[api.label(), outcome]).inc();
        self.duration
            .with_label_values(&[api.label()])
            .observe(started.elapsed().as_secs_f64());
    }
}
