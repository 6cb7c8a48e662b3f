//! Pages of other origins. One that a developer has open must not end the tokens of a sandbox on the same machine.

use axum::http::{HeaderMap, header};

/// Whether a browser sent the request for a page that is not the sandbox's own, to a route that is not for all pages.
pub(super) fn is_refused(path: &str, headers: &HeaderMap) -> bool {
    // The phone's routes: the demo page, and what the WeChat app does for any page.
    let file = path.strip_prefix("/sandbox/").unwrap_or_default();
    let is_for_all = path == "/" || matches!(file, "demo.js" | "compare.js" | "demo.css" | "verify" | "upload");
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    !is_for_all && authority.is_none_or(|(_, authority)| Some(authority) != host)
}
