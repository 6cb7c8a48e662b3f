//! Metrics of requests.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, Registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry,
};

use crate::telemetry::KNOWN_METHODS;

/// `wxgate_http_requests_total` and `wxgate_http_request_duration_seconds`.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        // Signing takes microseconds, an upload seconds.
        let buckets = vec![
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ];
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "wxgate_http_requests_total",
                "Requests answered, by route, method and status",
                &["route", "method", "status"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "wxgate_http_request_duration_seconds",
                "Time until the answer's head was ready",
                &["route"],
                buckets,
                registry
            )?,
        })
    }

    /// Counts a request that hyper refused as malformed with this error. It never reached a route, so it has its own
    /// label; the status is the one that hyper answers.
    pub(super) fn count_malformed(&self, error: &hyper::Error) {
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        let labels = ["malformed", "other", status.as_str()];
        self.requests.with_label_values(&labels).inc();
    }

    pub(super) fn route(&self, label: &str) -> RouteMetrics {
        RouteMetrics {
            label: label.to_owned(),
            requests: self.requests.clone(),
            ok: Default::default(),
            duration: self.duration.with_label_values(&[label]),
        }
    }
}

/// The metrics of one route. The series of successful answers are looked up once: a look-up takes as long as a
/// signature's SHA-1.
pub(super) struct RouteMetrics {
    label: String,
    requests: IntCounterVec,
    /// The counters of answers with status 200, by method.
    ok: [OnceLock<IntCounter>; KNOWN_METHODS.len()],
    duration: Histogram,
}

impl RouteMetrics {
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn observe(&self, method: &Method, status: StatusCode, took: Duration) {
        let known = KNOWN_METHODS.iter().position(|known| known == method);
        let name = known.map_or("other", |index| KNOWN_METHODS[index].as_str());
        let counter = || {
            self.requests
                .with_label_values(&[self.label.as_str(), name, status.as_str()])
        };
        match known {
            Some(index) if status == StatusCode::OK => self.ok[index].get_or_init(counter).inc(),
            _ => counter().inc(),
        }
        self.duration.observe(took.as_secs_f64());
    }
}
