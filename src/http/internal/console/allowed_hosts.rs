//! By which names the console may be reached. A page of a foreign site can give that site's name our address (DNS
//! rebinding); then a browser lets it read the console, but sends the foreign name as `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::settings::values::HostPattern;

/// What [`tower_http::validate_request`] asks. An empty list allows any name.
#[expect(clippy::result_large_err, reason = "the signature is tower-http's")]
pub(super) fn check(allowed: &[HostPattern]) -> impl Fn(&mut Request) -> Result<(), Response> + Clone + use<> {
    let allowed: Arc<[HostPattern]> = allowed.into();
    move |request| {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if allowed.is_empty() || host.is_some_and(|host| is_allowed(host, &allowed)) {
            return Ok(());
        }
        let text = "The console does not answer to this name: add it to internal.allowed_hosts.\n";
        Err((StatusCode::FORBIDDEN, text).into_response())
    }
}

fn is_allowed(host: &str, allowed: &[HostPattern]) -> bool {
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    // Nobody else's page comes from an address, or from this machine.
    bare.unwrap_or(name).parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|pattern| pattern.matches(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}
