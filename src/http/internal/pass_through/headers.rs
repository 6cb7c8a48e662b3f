//! Which headers are forwarded, in both directions.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::telemetry::PROPAGATED;

/// Headers that must not reach WeChat: keys, client addresses, and trace contexts.
const PRIVATE: [&str; 25] = [
    "authorization",
    "cookie",
    "cookie2",
    "x-api-key",
    "x-auth-token",
    "x-wx-appid",
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    // Trace contexts in non-standard formats.
    "b3",
    "uber-trace-id",
    "sentry-trace",
    "x-amzn-trace-id",
    "http2-settings",
    "referer",
    "origin",
    // Set by the HTTP client itself.
    "host",
    "expect",
    // An error in a compressed answer would be unreadable.
    "accept-encoding",
];

/// Prefixes of the names of further private headers.
const PRIVATE_PREFIXES: [&str; 3] = ["x-forwarded", "x_forwarded", "x-b3-"];

/// The headers of a call that are forwarded to WeChat.
pub(super) fn of_call(headers: &HeaderMap) -> HeaderMap {
    let is_private = |name: &str| {
        let has_prefix = PRIVATE_PREFIXES.into_iter().any(|prefix| name.starts_with(prefix));
        has_prefix || PRIVATE.contains(&name) || PROPAGATED.contains(&name)
    };
    let passed = end_to_end(headers).filter(|(name, _)| !is_private(name.as_str()));
    passed.collect()
}

/// The headers of WeChat's answer that are returned to the caller. A browser that shows it runs nothing in it.
pub(super) fn of_answer(headers: &HeaderMap) -> HeaderMap {
    let mut passed: HeaderMap = end_to_end(headers).collect();
    // If both are present, the chunked framing counts (RFC 9112, section 6.3); the length may differ.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        passed.remove(header::CONTENT_LENGTH);
    }
    passed.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    passed.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    passed
}

/// `headers` without hop-by-hop headers (RFC 9110, section 7.6.1).
fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let passed = (headers.iter()).filter(move |(name, _)| !is_hop_by_hop(name) && !named.contains(name));
    passed.map(|(name, value)| (name.clone(), value.clone()))
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION | header::TE | header::TRAILER | header::TRANSFER_ENCODING | header::UPGRADE
    ) || name == "keep-alive"
        || name.as_str().starts_with("proxy-")
}
