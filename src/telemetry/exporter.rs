//! An exporter that logs an outage when it begins and when it ends. The SDK's own logging, which
//! would repeat it for each batch, is not compiled in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

#[derive(Debug)]
pub(super) struct Reporting<E> {
    exporter: E,
    /// Spans lost since the outage began; 0 while there is none.
    dropped: AtomicU64,
}

impl<E> Reporting<E> {
    pub(super) fn new(exporter: E) -> Self {
        Self {
            exporter,
            dropped: AtomicU64::new(0),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        if let Err(error) = &outcome {
            if self.dropped.fetch_add(spans, Ordering::Relaxed) == 0 {
                tracing::warn!("traces are dropped for a while: {error}; look at telemetry.otlp_endpoint");
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
