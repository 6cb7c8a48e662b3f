//! The spans that are exported if there is a collector: of requests, and of the calls made for them.
//!
//! No span contains a URL, a query or a header: only names, statuses and error texts, which the log has too.

use std::fmt::Display;

use http::{HeaderMap, Method, StatusCode};
use opentelemetry::trace::{Status, TraceContextExt};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::propagation::extract;

/// The target of spans that are exported; without a collector they are disabled.
pub const TRACES: &str = "wxgate::traces";

/// The name of request spans, the only exported spans that the log shows.
pub(super) const REQUEST: &str = "request";

/// The methods named in spans and metrics. Callers may send any other, but the number of labels must stay bounded.
pub(crate) const KNOWN_METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::PUT,
    Method::DELETE,
];

/// The span of a request, if there is a collector; the log shows it too. It is a child of the caller's span, if the
/// headers name one.
pub fn request_span(method: &Method, route: &str, headers: &HeaderMap, id: &str) -> Option<Span> {
    let method = if KNOWN_METHODS.contains(method) {
        method.as_str()
    } else {
        "_OTHER"
    };
    let name = || format!("{method} {route}");
    let span = info_span!(target: TRACES, REQUEST, %id, otel.name = name(), otel.kind = "server");
    if span.is_disabled() {
        return None;
    }
    // Fails only without a collector.
    let _ = span.set_parent(extract(headers));
    span.set_attribute("http.route", route.to_owned());
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("wxgate.request_id", id.to_owned());
    Some(span)
}

/// Ends the span of an answered request, since an upload or a renewal within it may still be running.
pub fn request_answered(span: &Span, status: StatusCode) {
    if span.metadata().is_none_or(|span| span.target() != TRACES) {
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
    span.context().span().end();
}

/// The span of a call to another system, named `peer what`.
pub fn call_span(peer: &str, what: &str) -> Span {
    info_span!(target: TRACES, "call", otel.name = format!("{peer} {what}"), otel.kind = "client")
}

/// Runs `work` in `span`, which is marked as failed if the work fails. The error's text is added to the span, so it must
/// not contain a secret.
pub async fn traced<T, E: Display>(span: Span, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let outcome = work.instrument(span.clone()).await;
    if let Err(error) = &outcome
        && !span.is_disabled()
    {
        span.set_status(Status::error(error.to_string()));
    }
    outcome
}
