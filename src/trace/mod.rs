//! Traces: a span for each request and for each call made for it, exported by OTLP (`telemetry.otlp_endpoint`).
//!
//! Spans travel in OpenTelemetry's own context and not in the log's spans. Where no endpoint is set there is
//! no [`Traces`] in any context, and nothing is made. The log and the traces filter and format differently,
//! and neither has to know the other.
//!
//! No span holds a URL, a query or a header: names, statuses and the texts of errors, which the log has too.

mod export;
mod headers;

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::http_client::BuildError;
use crate::settings;

pub use headers::{PROPAGATED, inject};

/// The methods that spans are named by.
const KNOWN: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::PUT,
    Method::DELETE,
];

/// What spans are made with. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    tracer: SdkTracer,
}

impl Traces {
    /// How long the last spans may take to reach the collector, once the gateway has drained.
    pub const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

    /// Begins to export to the collector at `endpoint`, in a task on `background` that ends, after a last
    /// flush, when `stop` is cancelled. `instance` is this process's name.
    pub fn start(
        endpoint: &Url,
        http: &settings::HttpClient,
        instance: &str,
        background: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, BuildError> {
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "wxgate"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let (queue, exporter) = export::pair(endpoint, http, &resource)?;
        background.spawn(exporter.run(stop));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        Ok(Self {
            tracer: provider.tracer("wxgate"),
        })
    }

    /// The span of a request with these headers: below the caller's, where it sent a trace context.
    #[must_use]
    pub fn request(&self, route: &str, method: &Method, headers: &HeaderMap, id: &str) -> RequestSpan {
        // Methods are the caller's to invent.
        let method = if KNOWN.contains(method) {
            method.as_str()
        } else {
            "_OTHER"
        };
        let parent = headers::extract(headers).with_value(self.clone());
        let span = SpanBuilder::from_name(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("wxgate.request_id", id.to_owned()),
            ]);
        RequestSpan(self.below(&parent, span))
    }

    /// Does `work` so that what it does is traced, though no request asked for it.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(Context::new().with_value(self.clone()))
    }

    fn below(&self, parent: &Context, span: SpanBuilder) -> Context {
        parent.with_span(self.tracer.build_with_context(span, parent))
    }
}

/// The span of a request under way.
pub struct RequestSpan(Context);

impl RequestSpan {
    /// Does `work` inside the span.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.0.clone())
    }

    /// Ends the span: the request was answered with `status`.
    pub fn answered(self, status: StatusCode) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Makes a call to another system in a span named `peer what`, where what asks for it is traced. A failure's
/// text goes into the span, so it must hold no secret.
pub async fn call<T, E: Display>(
    peer: &'static str,
    what: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    spanned(SpanKind::Client, peer, what, || [], work).await
}

/// Does a piece of the gateway's own `work` in a span named `name what` with these attributes, like [`call`].
pub async fn step<T, E: Display, const N: usize>(
    name: &'static str,
    what: &'static str,
    attributes: impl FnOnce() -> [KeyValue; N],
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    spanned(SpanKind::Internal, name, what, attributes, work).await
}

async fn spanned<T, E: Display, const N: usize>(
    kind: SpanKind,
    family: &'static str,
    what: &'static str,
    attributes: impl FnOnce() -> [KeyValue; N],
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let context = Context::map_current(|parent| {
        let traces = parent.get::<Traces>()?;
        let span = SpanBuilder::from_name(format!("{family} {what}"))
            .with_kind(kind)
            .with_attributes(attributes());
        Some(traces.below(parent, span))
    });
    let Some(context) = context else {
        return work.await;
    };
    let outcome = work.with_context(context.clone()).await;
    let span = context.span();
    if let Err(error) = &outcome {
        span.set_status(Status::error(error.to_string()));
    }
    span.end();
    outcome
}

/// `task` in the context of whoever calls this: what it does belongs to the caller's trace.
pub fn follow<F: Future>(task: F) -> impl Future<Output = F::Output> + use<F> {
    task.with_current_context()
}
