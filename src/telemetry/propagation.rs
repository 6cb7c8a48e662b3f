//! W3C trace context.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Headers of a trace, ours or a caller's. They are never sent to WeChat.
pub const PROPAGATED: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The longest `tracestate` that is propagated, in bytes: the minimum that the standard requires.
const MAX_STATE: usize = 512;

/// The trace context in `headers`; empty if there is none, or a malformed one.
pub(super) fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Incoming(headers))
}

/// Adds the context of the current span to `headers`, if it is traced.
pub fn inject(headers: &mut HeaderMap) {
    inject_context(&Span::current().context(), headers);
}

fn inject_context(context: &Context, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
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

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(parent: &str, state: &str) -> HeaderMap {
        let headers: HeaderMap = [("traceparent", parent), ("tracestate", state)]
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let mut outgoing = HeaderMap::new();
        inject_context(&extract(&headers), &mut outgoing);
        outgoing
    }

    #[test]
    fn trace_context_of_the_caller_is_propagated() {
        let headers = passed_on(PARENT, "vendor=1");
        assert_eq!(headers["traceparent"], PARENT);
        assert_eq!(headers["tracestate"], "vendor=1");
    }

    #[test]
    fn malformed_trace_context_is_ignored() {
        for parent in [
            "",
            "nonsense",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-1-2-3",
        ] {
            assert!(passed_on(parent, "vendor=1").is_empty(), "{parent}");
        }
        let long = format!("vendor={}", "x".repeat(MAX_STATE));
        assert!(!passed_on(PARENT, &long).contains_key("tracestate"));
        assert!(!extract(&HeaderMap::new()).has_active_span());
    }
}
