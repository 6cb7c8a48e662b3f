//! What is counted about requests.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::route::Route;

/// `wxgate_http_requests_total` and `wxgate_http_request_duration_seconds`.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    /// Their series for signatures: looking these up would cost as much as a signature's SHA-1.
    signatures: IntCounter,
    signing: Histogram,
}

impl HttpMetrics {
    /// Makes the metrics known to `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "wxgate_http_requests_total",
                "Requests answered, by route, method and status",
            ),
            &["route", "method", "status"],
        )?;
        // Signing takes microseconds, an upload seconds.
        let buckets = vec![
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ];
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "wxgate_http_request_duration_seconds",
                "Time until the answer's head was ready",
            )
            .buckets(buckets),
            &["route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        let (route, get, ok) = (Route::Sign.label(), Method::GET, StatusCode::OK);
        Ok(Self {
            signatures: requests.with_label_values(&[route, get.as_str(), ok.as_str()]),
            signing: duration.with_label_values(&[route]),
            requests,
            duration,
        })
    }

    /// Counts a signature.
    pub fn observe_signature(&self, took: Duration) {
        self.signatures.inc();
        self.signing.observe(took.as_secs_f64());
    }

    /// Counts a request.
    pub fn observe(&self, route: Route, method: &Method, status: StatusCode, took: Duration) {
        // Methods are the caller's to invent; their number must stay bounded.
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        self.requests
            .with_label_values(&[route.label(), method, status.as_str()])
            .inc();
        self.duration
            .with_label_values(&[route.label()])
            .observe(took.as_secs_f64());
    }
}
