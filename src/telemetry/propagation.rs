//! W3C trace context.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Trace headers, ours or a caller's. They are never sent to WeChat.
pub const PROPAGATED: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The maximum length of a propagated `tracestate`, in bytes: the minimum that the standard requires.
const MAX_STATE: usize = 512;

/// The trace context in `headers`; empty if there is none, or a malformed one.
pub(super) fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Incoming(headers))
}

/// Adds the context of the current span to `headers`, if it is traced.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeaderInjector(headers));
    // The propagator writes the header even if the state is empty.
    if headers.get("tracestate").is_some_and(HeaderValue::is_empty) {
        headers.remove("tracestate");
    }
}

/// Like opentelemetry-http's `HeaderExtractor`, but long values are ignored.
struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (value.len() <= MAX_STATE).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;

    use super::*;

    #[test]
    fn long_state_of_a_callers_trace_is_dropped() {
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", parent.parse().unwrap());
        for (length, kept) in [(MAX_STATE, true), (MAX_STATE + 1, false)] {
            // An entry has at most 256 characters.
            let state = format!(
                "{},c=",
                ["a", "b"].map(|key| format!("{key}={}", "x".repeat(200))).join(",")
            );
            let state = format!("{state:x<length$}");
            headers.insert("tracestate", state.parse().unwrap());
            let context = extract(&headers);
            let span = context.span();
            assert!(span.span_context().is_valid());
            assert_eq!(!span.span_context().trace_state().header().is_empty(), kept, "{length}");
        }
    }
}
