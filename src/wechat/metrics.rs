//! The metrics of calls to WeChat.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use super::CallError;

/// One of the calls that the gateway makes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Api {
    Token,
    StableToken,
    Ticket,
    Media,
    Probe,
    PassThrough,
}

impl Api {
    pub(super) fn label(self) -> &'static str {
        match self {
            Api::Token => "token",
            Api::StableToken => "stable_token",
            Api::Ticket => "getticket",
            Api::Media => "media_get",
            Api::Probe => "get_api_domain_ip",
            Api::PassThrough => "pass_through",
        }
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
        let requests = IntCounterVec::new(
            Opts::new("wxgate_wechat_requests_total", "Calls to WeChat, by API and outcome"),
            &["api", "outcome"],
        )?;
        let buckets = vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "wxgate_wechat_request_duration_seconds",
                "Time until WeChat's answer began or failed",
            )
            .buckets(buckets),
            &["api"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { requests, duration })
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
