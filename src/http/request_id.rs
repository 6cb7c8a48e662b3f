//! The id shared by a request's answer, its log lines and the caller's own records.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the request id, in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 64 characters of `[A-Za-z0-9._-]`: the caller's, or 32 random hex digits. Cheap to clone.
#[derive(Clone)]
pub struct RequestId(pub(super) HeaderValue);

impl RequestId {
    /// The id of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = |id: &&HeaderValue| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(allowed);
        Self(headers.get(X_REQUEST_ID).filter(fits).cloned().unwrap_or_else(random))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII, by construction.
        self.0.to_str().unwrap_or_default()
    }
}

fn random() -> HeaderValue {
    // Hex digits are always valid in a header.
    HeaderValue::try_from(hex::encode(rand::random::<[u8; 16]>())).unwrap_or(HeaderValue::from_static("-"))
}
