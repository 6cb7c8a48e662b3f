//! The headers of every public answer: security, and CORS.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::http::X_REQUEST_ID;
use crate::http::envelope::JSON;
use crate::settings::Server;
use crate::settings::values::Origin;
use crate::telemetry::PROPAGATED;

/// Adds the security headers of every public answer. JSON needs only one; pages and pictures set their own policy;
/// anything else may load nothing.
pub fn add_security_headers(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == JSON) {
        return;
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
}

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What pages may send, in addition to trace headers: libraries add those to every request, and a browser does not send a
/// request with a header that is not allowed.
const REQUEST_HEADERS: [HeaderName; 4] = [header::CONTENT_TYPE, header::AUTHORIZATION, X_API_KEY, X_REQUEST_ID];

/// How long a browser may cache the answer to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// The origins whose pages may call, and with what; `None` if no origin is configured.
pub fn cors(server: &Server) -> Option<CorsLayer> {
    let allowed = &server.cors_allowed_origins;
    let any = allowed.iter().any(Origin::is_any);
    let origins = if any {
        AllowOrigin::any()
    } else {
        let origins = allowed.iter().map(|origin| HeaderValue::from_str(origin.as_str()));
        AllowOrigin::list(origins.flatten())
    };
    let more = server.cors_allowed_headers.iter();
    let more = more.filter_map(|name| name.as_str().parse().ok());
    let of_traces = PROPAGATED.map(HeaderName::from_static);
    let headers: Vec<HeaderName> = REQUEST_HEADERS.into_iter().chain(of_traces).chain(more).collect();
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(headers)
        // Validated settings never have both, which would make the layer panic.
        .allow_credentials(server.cors_allow_credentials && !any)
        .expose_headers([X_REQUEST_ID, header::RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    (!allowed.is_empty()).then_some(layer)
}
