//! Refuses requests that no route should see, though HTTP's parser takes them.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, Version, header};

use crate::http::{ApiError, Code};

/// What [`tower_http::validate_request`] asks.
#[expect(clippy::result_large_err, reason = "the signature is tower-http's")]
pub(super) fn check(request: &mut Request) -> Result<(), Response> {
    // TRACE would show a page headers that it may not read; CONNECT asks for a tunnel.
    if [Method::TRACE, Method::CONNECT].contains(request.method()) {
        return Err(ApiError::plain(Code::MethodNotAllowed).into_response());
    }
    // RFC 9112, section 3.2. With two, a proxy in front may have looked at the other one.
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let missing = hosts == 0 && request.version() == Version::HTTP_11;
    if missing || hosts > 1 {
        let message = "an HTTP/1.1 request has exactly one Host header";
        return Err(ApiError::new(Code::ParamInvalid, message).into_response());
    }
    Ok(())
}
