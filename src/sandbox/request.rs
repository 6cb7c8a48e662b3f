//! A complete request, with decoded parameters.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::{Map, Value};

/// A complete request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) peer: IpAddr,
    /// Whether the caller wants the connection closed after the answer.
    pub(super) last: bool,
}

impl Request {
    /// The query parameter of this name, decoded; empty if it is missing, which WeChat does not distinguish.
    pub(super) fn param(&self, name: &str) -> Cow<'_, str> {
        param(&self.query, name)
    }

    /// The body as a JSON object.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// True if the body came in chunks, which WeChat refuses with 412.
    pub(super) fn is_chunked(&self) -> bool {
        self.headers.contains_key("transfer-encoding")
    }

    pub(super) fn content_type(&self) -> &str {
        let header = self.headers.get("content-type");
        header.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The parameter `name` of the query string `query`, decoded as a form; empty if it is missing.
pub(super) fn param<'a>(query: &'a str, name: &str) -> Cow<'a, str> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map_or_else(Cow::default, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_as_a_form() {
        let query = "a=1&b=x%2By+z&c&a=2&%65=5";
        assert_eq!(param(query, "a"), "1");
        assert_eq!(param(query, "b"), "x+y z");
        assert_eq!(param(query, "c"), "");
        assert_eq!(param(query, "d"), "");
        assert_eq!(param(query, "e"), "5");
    }
}
