//! The id that a request's answer, its log lines and the caller's own records share.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};

/// The header that carries the request id, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 64 characters of `[A-Za-z0-9._-]`: the caller's, or 32 random hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl RequestId {
    const MAX_LEN: usize = 64;

    /// The id of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        headers
            .get(X_REQUEST_ID)
            .and_then(|value| Self::parse(value.as_bytes()))
            .unwrap_or_else(Self::random)
    }

    /// The id that a layer has given to the request with these extensions.
    #[must_use]
    pub fn in_extensions(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_else(Self::random)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fine = (1..=Self::MAX_LEN).contains(&text.len()) && text.iter().all(allowed);
        fine.then(|| Self::from_ascii(text))
    }

    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        let mut digits = [0; 32];
        // 16 bytes fill 32 digits exactly.
        let _ = hex::encode_to_slice(rand::random::<[u8; 16]>(), &mut digits);
        Self::from_ascii(&digits)
    }

    fn from_ascii(text: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text);
        Self {
            bytes,
            len: u8::try_from(text.len()).unwrap_or_default(),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always ASCII, by construction.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The id as the value of a header.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        // Always valid in a header, by construction.
        HeaderValue::from_str(self.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl utoipa::PartialSchema for RequestId {
    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for RequestId {}

/// A layer has put the id into the request's extensions.
impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::in_extensions(&parts.extensions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn id_of_the_caller_is_kept_if_it_is_printable() {
        assert_eq!(of("a.b_C-9"), "a.b_C-9");
        let longest = "x".repeat(64);
        assert_eq!(of(&longest), longest);
        for unfit in ["", "a b", "a\"b", "中", &"x".repeat(65)] {
            let id = of(unfit);
            assert_eq!(id.len(), 32, "{unfit}");
            assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
