//! Traces: exported in batches with OTLP over HTTP (`telemetry.otlp_endpoint`).
//!
//! A slow or missing collector costs spans, never a request.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{BatchConfigBuilder, SdkTracerProvider};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::exporter::{LastFailure, RememberingClient, Reporting};
use super::spans::TRACES;
use crate::http_client;
use crate::settings::{self, UnusableSetting};

/// The maximum number of queued spans; at about 500 bytes each they take one megabyte.
const QUEUE: usize = 2048;
const BATCH: usize = 512;
/// How long spans are gathered for a batch.
const GATHER: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit of an export, including all its attempts.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// The time limit for exporting the last spans, once the gateway has drained.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

/// The running export of traces.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts exporting to the collector at `endpoint`, with connections according to `http`, in a task of the runtime.
    /// `instance` is this process's name.
    pub(super) fn start(endpoint: &Url, http: &settings::HttpClient, instance: &str) -> Result<Self, UnusableSetting> {
        let client = http_client::build_with(http, CONNECT_TIMEOUT, |client| client.timeout(SEND_LIMIT))?;
        let failure = LastFailure::default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(RememberingClient {
                client,
                failure: failure.clone(),
            })
            .with_endpoint(traces_url(endpoint).as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_LIMIT)
            .build()
            .map_err(|error| UnusableSetting::new("telemetry.otlp_endpoint", error))?;
        // Set explicitly, since the SDK panics on some values that it would read from the environment.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(GATHER)
            // Longer than the exporter's own limit on its attempts, otherwise their failure would never be logged.
            .with_max_export_timeout(2 * SEND_LIMIT + Duration::from_secs(1))
            .build();
        let exporter = Reporting {
            exporter,
            failure,
            dropped: AtomicU64::new(0),
        };
        let processor = BatchSpanProcessor::builder(exporter, Tokio)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "wxgate"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        Ok(Self { provider })
    }

    /// The layer that exports spans whose target is [`TRACES`] to OpenTelemetry; events are only logged.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let exported = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == TRACES);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("wxgate"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_filter(exported.with_max_level_hint(LevelFilter::INFO))
    }

    /// Exports the last spans, within a time limit.
    pub async fn flush(self) {
        // `shutdown` blocks.
        let flush = spawn_blocking(move || self.provider.shutdown());
        match timeout(FLUSH_LIMIT, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!("the last spans could not be exported: {error}"),
            Ok(Err(_)) => tracing::warn!("the last spans could not be exported"),
            Err(_) => tracing::warn!("the last spans could not be exported in time"),
        }
    }
}

/// OTLP's path below the collector's address, unless it is already there.
fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    if !url.path().ends_with("/v1/traces")
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    url
}
