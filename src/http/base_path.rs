//! Routes below a base path, for proxies that forward a request's path unchanged. Proxies that strip the base path reach
//! the same routes without it.

use axum::Router;
use axum::extract::Request;
use http::Uri;
use tower::util::MapRequest;

use crate::settings::values::BasePath;

/// `routes`, and `rest` for all other paths, each with and without the prefix `base`.
pub(super) fn also_below(base: &BasePath, routes: Router, rest: Router) -> Router {
    let all = routes.clone().merge(rest);
    if base.as_str().is_empty() {
        return all;
    }
    let base = base.clone();
    routes.fallback_service(MapRequest::new(all, move |request| without(&base, request)))
}

/// `request` with `base` removed from the beginning of its path.
fn without(base: &BasePath, mut request: Request) -> Request {
    let whole = request.uri().path_and_query();
    let rest = whole.and_then(|whole| base.rest_of(whole.as_str()));
    if let Some(uri) = rest.and_then(|rest| with_path_and_query(request.uri(), rest)) {
        *request.uri_mut() = uri;
    }
    request
}

/// `uri` with another path and query; `None` if it is not valid with them.
pub(super) fn with_path_and_query(uri: &Uri, path_and_query: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}
