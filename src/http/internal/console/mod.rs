//! `/console`: the operator's page, rendered on the server in Chinese or English. It loads no external files; a small
//! script refreshes it and sends the operator's actions.
//!
//! `view` gathers and evaluates the data, `page` renders them; both take their texts from `text`.

mod explain;
mod language;
mod page;
mod state;
mod text;
mod time;
mod timeline;
mod traffic;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tower_http::validate_request::ValidateRequestHeaderLayer;

use language::Language;
use view::View;

use crate::http::text_of;
use crate::settings;
use crate::settings::values::{HostPattern, host_ip};

pub use state::Console;

/// The page and its files.
pub(super) fn routes<S>(settings: &settings::Internal, state: Arc<Console>) -> Router<S> {
    let console = format!("{}/console", settings.base_path.as_str());
    let file = |kind, content| get(async move || ([(header::CONTENT_TYPE, kind)], content));
    Router::new()
        .route("/console", get(get_console))
        .route(
            "/console/explain",
            get(explain::get_form)
                .post(explain::post_form)
                .layer(DefaultBodyLimit::max(explain::MAX_FORM)),
        )
        .route("/console/", get(async move || Redirect::permanent(&console)))
        .route(
            "/console/console.css",
            file("text/css; charset=utf-8", include_str!("console.css")),
        )
        .route(
            "/console/console.js",
            file("text/javascript; charset=utf-8", include_str!("console.js")),
        )
        .route("/console/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
        // Not one of WeChat's paths, so it must not be passed through.
        .route("/console/{*path}", get(async || StatusCode::NOT_FOUND))
        .layer(ValidateRequestHeaderLayer::custom(may_be_reached(
            &settings.allowed_hosts,
        )))
        .layer(map_response(with_security_headers))
        .with_state(state)
}

async fn get_console(State(console): State<Arc<Console>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let chosen = Language::chosen(query.as_deref());
    let language = chosen.unwrap_or_else(|| Language::of_headers(&headers));
    let view = View::gather(&console).await;
    console.answer(page::page(&view, &console.app_ids(), language), chosen)
}

/// No foreign or inline content, no framing, no caching.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

async fn with_security_headers(response: Response) -> impl IntoResponse {
    (SECURITY_HEADERS, response)
}

/// Accepts requests whose `Host` is one of `allowed`, or any if that is empty. A foreign site can point its own name at
/// our address (DNS rebinding); then a browser lets its page read the console, but sends the foreign name.
#[expect(clippy::result_large_err, reason = "the signature is tower-http's")]
fn may_be_reached(allowed: &[HostPattern]) -> impl Fn(&mut Request) -> Result<(), Response> + Clone + use<> {
    let allowed: Arc<[HostPattern]> = allowed.into();
    move |request| {
        let host = text_of(request.headers(), header::HOST).parse::<Authority>();
        if allowed.is_empty() || host.is_ok_and(|host| is_allowed(host.host(), &allowed)) {
            return Ok(());
        }
        let text = "The console is not served under this name: add it to internal.allowed_hosts.\n";
        Err((StatusCode::FORBIDDEN, text).into_response())
    }
}

fn is_allowed(name: &str, allowed: &[HostPattern]) -> bool {
    // No foreign page is served from an IP address or from localhost.
    host_ip(name).is_some()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|pattern| pattern.matches(name))
}
