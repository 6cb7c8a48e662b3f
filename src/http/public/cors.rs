//! CORS.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::http::X_REQUEST_ID;
use crate::settings::values::Origin;

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long a browser may cache the answer to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// Which origins' pages may call; `None` if none was configured.
#[must_use]
pub fn cors(allowed: &[Origin]) -> Option<CorsLayer> {
    let origins = if allowed.iter().any(Origin::is_any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            allowed
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok()),
        )
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, X_REQUEST_ID, X_API_KEY])
        .expose_headers([X_REQUEST_ID, header::RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    (!allowed.is_empty()).then_some(layer)
}
