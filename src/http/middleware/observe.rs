//! The outermost layer: gives each request its id, its client's address and its span, and each answer its final shape,
//! its place in the metrics and its line in the access log.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderValue, Method, header};
use tokio::time::Instant;
use tower::{BoxError, Service, service_fn};
use tracing::{Instrument, Span};

use super::access_log::Line;
use super::{Group, Kind, Stack};
use crate::http::client_address::client_address;
use crate::http::metrics::RouteMetrics;
use crate::http::{ApiError, ClientAddress, RequestId, X_REQUEST_ID};
use crate::telemetry::{request_answered, request_span};

/// `inner` with all this around it. It must always be ready, as axum's routes are.
pub(super) fn observed<S, B>(
    mut inner: S,
    stack: Stack,
    group: Group,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let metrics = OnceLock::new();
    let route = Arc::new(Observed { stack, group, metrics });
    service_fn(move |mut request: Request| {
        let route = Arc::clone(&route);
        let asked = route.identify(&mut request);
        let answer = inner.call(request).instrument(asked.span.clone());
        // No async block: it would hold the inner future twice.
        answer.map(move |Ok(response)| Ok(route.finish(&asked, response)))
    })
}

/// A route, or what stands for several.
struct Observed {
    stack: Stack,
    group: Group,
    /// Set by the first request, which has the path that the route was registered under.
    metrics: OnceLock<RouteMetrics>,
}

/// What must be known of a request once it is answered.
struct Asked {
    started: Instant,
    method: Method,
    id: RequestId,
    client: ClientAddress,
    span: Span,
}

impl Observed {
    /// Puts the id into the request's extensions, and the client's address in place of the peer's if the peer is a
    /// trusted proxy. All other layers and the handlers find them there.
    fn identify(&self, request: &mut Request) -> Asked {
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id);
        let trusted = &self.stack.trusted_proxies;
        let mut client: ClientAddress = request.extensions().get().copied().unwrap_or_default();
        if !trusted.is_empty() {
            client = ClientAddress(client_address(client.0, request.headers(), trusted));
            request.extensions_mut().insert(client);
        }
        Asked {
            started,
            span: self.span(request, id),
            method: request.method().clone(),
            id,
            client,
        }
    }

    /// The span of the request, in the log and in traces: with traces on, one span serves both.
    fn span(&self, request: &Request, id: RequestId) -> Span {
        let label = self.metrics(request).label();
        let for_traces = || request_span(request.method(), label, request.headers(), id.as_str());
        match self.group.kind {
            Kind::Probe => tracing::info_span!("request", %id),
            Kind::Instant => for_traces().unwrap_or_else(|| tracing::debug_span!("request", %id)),
            Kind::Waits => for_traces().unwrap_or_else(|| tracing::info_span!("request", %id)),
        }
    }

    /// The metrics of the route. Its label is never the request's path itself, which may be anything.
    fn metrics(&self, request: &Request) -> &RouteMetrics {
        self.metrics.get_or_init(|| {
            let matched = || request.extensions().get().map(MatchedPath::as_str);
            let label = self.group.label.or_else(matched).unwrap_or("pass-through");
            self.stack.metrics.route(label)
        })
    }

    /// The answer as it goes out, once it is counted and logged.
    fn finish<B>(&self, asked: &Asked, answer: http::Response<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let answer = self.shape(asked.id, answer);
        request_answered(&asked.span, answer.status());
        let took = asked.started.elapsed();
        if let Some(metrics) = self.metrics.get() {
            metrics.observe(&asked.method, answer.status(), took);
            let line = Line {
                listener: self.stack.listener,
                id: asked.id,
                route: metrics.label(),
                method: &asked.method,
                client: asked.client.0,
                took,
            };
            line.write(&answer);
        }
        answer
    }

    /// `answer` with the listener's headers. A failure gets its body, in the listener's shape; it stays in the
    /// extensions, for the access log.
    fn shape<B>(&self, id: RequestId, answer: http::Response<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut shaped = match answer.extensions().get::<ApiError>() {
            None => answer.map(Body::new),
            Some(error) => {
                let mut shaped = (self.stack.failure)(error, id);
                shaped.extensions_mut().insert(error.clone());
                // Keep what inner layers have added, such as `Allow`.
                for (name, value) in answer.headers() {
                    if *name != header::CONTENT_LENGTH && !shaped.headers().contains_key(name) {
                        shaped.headers_mut().insert(name, HeaderValue::clone(value));
                    }
                }
                shaped
            }
        };
        shaped.headers_mut().insert(X_REQUEST_ID, id.header_value());
        (self.stack.headers)(shaped.headers_mut());
        shaped
    }
}
