//! An exporter that logs the start and the end of an outage. The SDK's own logging, which would repeat it for each batch,
//! is not compiled in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

use crate::http_client;

/// Why the last request failed, if it did: the SDK's own error only says "network error".
pub(super) type LastFailure = Arc<Mutex<Option<String>>>;

/// A client that remembers why its last request failed.
#[derive(Debug)]
pub(super) struct RememberingClient {
    pub(super) client: reqwest::Client,
    pub(super) failure: LastFailure,
}

#[async_trait]
impl HttpClient for RememberingClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        // The text of an error without a source may contain the URL.
        let failure = answer.as_ref().err().filter(|error| error.source().is_some());
        *self.failure.lock() = failure.map(|error| http_client::cause(&**error));
        answer
    }
}

#[derive(Debug)]
pub(super) struct Reporting {
    pub(super) exporter: opentelemetry_otlp::SpanExporter,
    pub(super) failure: LastFailure,
    /// Spans lost since the outage began; 0 while there is none.
    pub(super) dropped: AtomicU64,
}

impl SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        if let Err(error) = &outcome {
            if self.dropped.fetch_add(spans, Ordering::Relaxed) == 0 {
                let why = self.failure.lock().clone();
                let why = why.unwrap_or_else(|| error.to_string());
                let advice = match http_client::certificate_cure(&why) {
                    Some(_) => "",
                    None => "; look at telemetry.otlp_endpoint",
                };
                tracing::warn!("traces are dropped until the collector accepts them again: {why}{advice}");
            }
        } else {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::info!(dropped, "traces are exported again");
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(limit)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
