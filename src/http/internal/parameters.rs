//! The parameters of a call for the token or the ticket: in its query, or in the form that it posts.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::Uri;
use tokio::time::timeout;
use url::form_urlencoded;

use super::answer::Refusal;

/// The longest accepted body of a call; a usual one has about 150 bytes.
const MAX_BODY: usize = 16 * 1024;

/// The longest that the body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// All values of `name` in a query or a form, decoded.
pub(super) fn values(encoded: &[u8], name: &str) -> Vec<String> {
    let named = form_urlencoded::parse(encoded).filter(|(key, _)| key == name);
    named.map(|(_, value)| value.into_owned()).collect()
}

/// The first value of `name` that is not blank, in the query or else in the form; empty if there is none.
pub(super) fn param(uri: &Uri, form: &[u8], name: &str) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut found = [query, form].into_iter().flat_map(|encoded| values(encoded, name));
    found.find(|value| !value.trim().is_empty()).unwrap_or_default()
}

/// The whole body of a call.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(47001, "the body is too long, or did not arrive")),
    }
}
