//! The HTTP server: what both listeners share, and each listener's routes.
//!
//! Both listeners speak HTTP/1, not HTTP/2. [`serve`] accepts connections, `middleware` builds the stack of layers around
//! all routes, `public` and `internal` contain the routes.

mod base_path;
mod client_address;
mod code;
mod envelope;
pub(crate) mod internal;
mod metrics;
mod middleware;
pub(crate) mod public;
mod request_id;
pub mod serve;

use ::http::{HeaderMap, HeaderName, header};

pub(crate) use client_address::ClientAddress;
pub use code::Code;
pub(crate) use envelope::ApiError;
pub use envelope::Envelope;
pub use metrics::HttpMetrics;
pub(crate) use middleware::{Listener, Stack};
pub use public::openapi;
pub use request_id::{RequestId, X_REQUEST_ID};

// For the fuzz targets, which are a separate crate.
#[doc(hidden)]
pub use client_address::client_address;
#[doc(hidden)]
pub use public::upload::parse as parse_upload;

/// The header `name` as text; empty if it is missing or not text.
fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// The `Content-Type` in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let kind = text_of(headers, header::CONTENT_TYPE).split(';').next();
    kind.unwrap_or_default().trim().to_ascii_lowercase()
}
