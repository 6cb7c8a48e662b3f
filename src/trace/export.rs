//! The way of spans to the collector: a bounded queue, and a task that sends them in batches.
//!
//! A collector that is slow or gone costs spans, never a request: what finds no room in the queue, or can't
//! be delivered, is dropped, and the log tells once when that begins and once when it is over.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Traces;
use crate::http_client::{self, BuildError};
use crate::settings;

/// Spans that may wait; at some 500 bytes each they take a megabyte.
const QUEUE: usize = 2048;
/// Spans sent at once.
const BATCH: usize = 512;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// The longest that a connection to the collector may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that the collector may take to answer.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Where ended spans go.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

/// The other end of the queue.
pub(super) struct Exporter {
    spans: mpsc::Receiver<SpanData>,
    lost: Arc<AtomicU64>,
    http: Client,
    url: Url,
    resource: ResourceAttributesWithSchema,
    /// Spans lost since the trouble began; 0 while there is none.
    dropped: u64,
}

/// A queue, and what sends its spans to the collector at `endpoint`.
pub(super) fn pair(
    endpoint: &Url,
    http: &settings::HttpClient,
    resource: &Resource,
) -> Result<(Queue, Exporter), BuildError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = Queue {
        spans: sender,
        lost: Arc::clone(&lost),
    };
    let exporter = Exporter {
        spans: receiver,
        lost,
        http: http_client::build(http, CONNECT_TIMEOUT)?,
        url: traces_url(endpoint),
        resource: resource.into(),
        dropped: 0,
    };
    Ok((queue, exporter))
}

/// OTLP's path below the collector's address, unless it is there already.
fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    if !url.path().ends_with("/v1/traces")
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    url
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporter {
    /// Exports until `stop` is cancelled, then what is still in the queue, within [`Traces::FLUSH_LIMIT`].
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let limit = async {
            stop.cancelled().await;
            sleep(Traces::FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.export_until(&stop) => {}
            () = limit => tracing::warn!("the last spans could not be exported in time"),
        }
    }

    async fn export_until(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::new();
        while stop.run_until_cancelled(self.gather(&mut batch)).await.is_some() {
            self.send(mem::take(&mut batch)).await;
        }
        while let Ok(span) = self.spans.try_recv() {
            batch.push(span);
            if batch.len() == BATCH {
                self.send(mem::take(&mut batch)).await;
            }
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    /// Waits for a span, and a moment for more. Cancelled, it leaves in `batch` what it has taken.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
        let Some(first) = self.spans.recv().await else {
            // No tracer is left; only the cancellation ends the task.
            return std::future::pending().await;
        };
        batch.push(first);
        let more = async {
            while batch.len() < BATCH {
                match self.spans.recv().await {
                    Some(span) => batch.push(span),
                    None => break,
                }
            }
        };
        // Over is over: the batch goes as it is.
        let _ = timeout(GATHER, more).await;
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let mut lost = self.lost.swap(0, Ordering::Relaxed);
        let trouble = match self.post(batch).await {
            Ok(()) => (lost > 0).then(|| "there are more than can be sent".to_owned()),
            Err(why) => {
                lost += spans;
                Some(why)
            }
        };
        match (trouble, self.dropped) {
            (Some(why), 0) => {
                tracing::warn!("traces are dropped for a while: {why}; look at telemetry.otlp_endpoint");
                self.dropped = lost;
            }
            (Some(_), _) => self.dropped += lost,
            (None, 0) => {}
            (None, dropped) => {
                tracing::info!(dropped, "traces are exported again");
                self.dropped = 0;
            }
        }
    }

    async fn post(&self, batch: Vec<SpanData>) -> Result<(), String> {
        let message = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let request = self.http.post(self.url.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(message.encode_to_vec());
        let answer = http_client::send(request, SEND_LIMIT).await;
        let status = answer.map_err(|error| error.to_string())?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("the collector answered with HTTP status {status}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_to_a_collectors_address_alone() {
        for (endpoint, url) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://a.cn/otlp", "https://a.cn/otlp/v1/traces"),
            ("https://a.cn/otlp/v1/traces", "https://a.cn/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(&endpoint.parse().unwrap()).as_str(), url);
        }
    }
}
