//! The parameters of calls, in a query or in a form. Some values are replaced; every other byte stays unchanged.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::time::timeout;
use url::form_urlencoded;

use super::answer::Refusal;
use crate::secret::Secret;

/// The maximum accepted body of a call for the token or the ticket; a typical one has about 150 bytes.
const MAX_BODY: usize = 16 * 1024;

/// The maximum time for the body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is escaped in a value: everything except RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The values of the parameters called `name`, decoded.
pub(super) fn values(text: &str, name: &str) -> Vec<String> {
    let matching = pairs(text).filter(|(key, _)| key == name);
    matching.map(|(_, value)| value.into_owned()).collect()
}

/// The parameters' names and values, decoded.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(text.as_bytes())
}

/// `text` with `value` in each parameter called `name`.
pub(super) fn replaced(text: &str, name: &str, value: &Secret) -> String {
    let pairs = text.split('&').map(|pair| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        if percent_decode_str(key).eq(name.bytes()) {
            format!("{key}={}", escaped(value))
        } else {
            pair.to_owned()
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// `query` with `value` as the parameter `name`, replaced in place if it already exists.
pub(super) fn with(query: Option<&str>, name: &str, value: &Secret) -> String {
    match query.filter(|query| !query.is_empty()) {
        Some(query) if !values(query, name).is_empty() => replaced(query, name, value),
        Some(query) => format!("{query}&{name}={}", escaped(value)),
        None => format!("{name}={}", escaped(value)),
    }
}

fn escaped(value: &Secret) -> impl std::fmt::Display {
    utf8_percent_encode(value.expose(), ESCAPED)
}

/// The first value of `name` that is not blank, in the query or else in the form; empty if there is none.
pub(super) fn param(uri: &Uri, form: &str, name: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut found = [query, form].into_iter().flat_map(|text| values(text, name));
    found.find(|value| !value.trim().is_empty()).unwrap_or_default()
}

/// The whole body of a call for the token or the ticket.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    let read = timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await;
    let whole = read.ok().and_then(Result::ok);
    whole.ok_or_else(|| Refusal::new(47001, "the body is too long or incomplete"))
}
