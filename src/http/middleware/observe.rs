//! The outermost layer: gives each request its id, its client's address and its span; completes and counts each response,
//! and writes its line in the access log.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderValue, Method, header};
use tokio::time::Instant;
use tower::{BoxError, Service, service_fn};
use tracing::{Instrument, Level, Span};

use super::{Group, Listener, RouteKind, Stack};
use crate::http::client_address::client_address;
use crate::http::metrics::RouteMetrics;
use crate::http::{ApiError, ClientAddress, Code, RequestId, X_REQUEST_ID};
use crate::telemetry::{millis, request_answered, request_span};

/// A request that takes longer is logged even if it succeeds.
const SLOW: Duration = Duration::from_secs(1);

/// The client's name; handlers of the internal listener put it into the answer's extensions.
#[derive(Clone)]
pub struct ClientName(pub String);

/// Why a request failed; put into the answer's extensions in the same way.
#[derive(Clone)]
pub struct FailureReason(pub String);

/// `inner` in the outermost layer. It must always be ready, as axum's routes are.
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
        let received = route.identify(&mut request);
        let answer = inner.call(request).instrument(received.span.clone());
        // No async block: it would hold the inner future twice.
        answer.map(move |Ok(response)| Ok(route.finish(&received, response.map(Body::new))))
    })
}

/// A route, or a fallback for all unmatched paths.
struct Observed {
    stack: Stack,
    group: Group,
    /// Set by the first request, which carries the path under which the route was registered.
    metrics: OnceLock<RouteMetrics>,
}

/// The parts of a request that are kept until it is answered.
struct ReceivedRequest {
    started: Instant,
    method: Method,
    id: RequestId,
    client: ClientAddress,
    span: Span,
}

impl Observed {
    /// Puts the id into the request's extensions, and the client's address in place of the peer's if the peer is a
    /// trusted proxy. All other layers and the handlers find them there.
    fn identify(&self, request: &mut Request) -> ReceivedRequest {
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id.clone());
        let trusted = &self.stack.trusted_proxies;
        let mut client = *request.extensions_mut().get_or_insert_default::<ClientAddress>();
        if !trusted.is_empty() {
            client = ClientAddress(client_address(client.0, request.headers(), trusted));
            request.extensions_mut().insert(client);
        }
        ReceivedRequest {
            started,
            span: self.span(request, &id),
            method: request.method().clone(),
            id,
            client,
        }
    }

    /// The span of the request, in the log and in traces: with traces on, one span serves both.
    fn span(&self, request: &Request, id: &RequestId) -> Span {
        let label = self.metrics(request).label();
        let id = id.as_str();
        let for_traces = || request_span(request.method(), label, request.headers(), id);
        match self.group.kind {
            RouteKind::Probe => tracing::info_span!("request", %id),
            RouteKind::Instant => for_traces().unwrap_or_else(|| tracing::debug_span!("request", %id)),
            RouteKind::Waits => for_traces().unwrap_or_else(|| tracing::info_span!("request", %id)),
        }
    }

    /// The metrics of the route. Its label is never the request's own path, which may be anything.
    fn metrics(&self, request: &Request) -> &RouteMetrics {
        self.metrics.get_or_init(|| {
            let matched = || request.extensions().get().map(MatchedPath::as_str);
            let label = self.group.label.or_else(matched).unwrap_or("pass-through");
            self.stack.metrics.route(label)
        })
    }

    /// The final answer, after it is counted and logged.
    fn finish(&self, received: &ReceivedRequest, answer: Response) -> Response {
        let answer = self.complete(&received.id, answer);
        request_answered(&received.span, answer.status());
        let took = received.started.elapsed();
        if let Some(metrics) = self.metrics.get() {
            metrics.observe(&received.method, answer.status(), took);
            self.log(received, metrics.label(), took, &answer);
        }
        answer
    }

    /// `answer` with the listener's headers. A failure gets its body, in the listener's shape; it stays in the
    /// extensions, for the access log.
    fn complete(&self, id: &RequestId, answer: Response) -> Response {
        let mut completed = match answer.extensions().get::<ApiError>() {
            None => answer,
            Some(error) => {
                let mut completed = (self.stack.failure)(error, id);
                completed.extensions_mut().insert(error.clone());
                // Keep headers added by inner layers, such as `Allow`.
                for (name, value) in answer.headers() {
                    if *name != header::CONTENT_LENGTH && !completed.headers().contains_key(name) {
                        completed.headers_mut().insert(name, HeaderValue::clone(value));
                    }
                }
                completed
            }
        };
        completed.headers_mut().insert(X_REQUEST_ID, id.0.clone());
        (self.stack.headers)(completed.headers_mut());
        completed
    }

    /// Writes the line in the access log, if its level is enabled. Only then is the span made that ties it to the request.
    fn log(&self, received: &ReceivedRequest, route: &str, took: Duration, response: &Response) {
        let extensions = response.extensions();
        let (failure, client_name) = (extensions.get::<ApiError>(), extensions.get::<ClientName>());
        let reason = extensions.get::<FailureReason>();
        let is_noted = match self.stack.listener {
            Listener::Public => failure.is_some(),
            // The log must show which client was given a token.
            Listener::Internal => client_name.is_some() || reason.is_some() || response.status().as_u16() >= 400,
        };
        let is_noted = is_noted || took >= SLOW;
        if !is_noted && !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let _entered = tracing::info_span!("request", id = %received.id.as_str()).entered();
        let (method, client) = (&received.method, received.client.0);
        let (status, ms) = (response.status().as_u16(), millis(took));
        if let Some(failure) = failure {
            let (code, name, message) = (failure.code.number(), failure.code.name(), failure.message.as_str());
            let detail = failure.detail.as_deref();
            if failure.code == Code::Internal {
                tracing::error!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
            } else {
                tracing::info!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
            }
        } else if self.stack.listener == Listener::Internal {
            let name = client_name.map(|ClientName(name)| name.as_str());
            let reason = reason.map(|FailureReason(why)| why.as_str());
            if is_noted {
                tracing::info!(route, %method, status, ms, address = %client, client = name, reason, "internal");
            } else {
                tracing::debug!(route, %method, status, ms, address = %client, "internal");
            }
        } else if is_noted {
            tracing::info!(route, %method, status, %client, ms, "slow");
        } else {
            tracing::debug!(route, %method, status, %client, ms, "done");
        }
    }
}
