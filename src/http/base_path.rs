//! Routes below a base path, for proxies that forward a request's path unchanged. Proxies that strip the base path reach
//! the same routes without it.

use axum::Router;
use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;
use tower::util::MapRequest;

use crate::settings::values::BasePath;

/// `routes`, and `rest` for all other paths, each with and without the prefix `base`.
pub(super) fn also_below(base: &BasePath, routes: Router, rest: Router) -> Router {
    let all = routes.clone().merge(rest);
    if base.as_str().is_empty() {
        return all;
    }
    let base = base.clone();
    let without_base = move |uri: &Uri| base.rest_of(uri.path_and_query()?.as_str())?.parse().ok();
    routes.fallback_service(MapRequest::new(all, move |request| rewritten(request, &without_base)))
}

/// `request` with the path and query that `target` returns for its URI, if any.
pub(super) fn rewritten(mut request: Request, target: impl Fn(&Uri) -> Option<PathAndQuery>) -> Request {
    if let Some(target) = target(request.uri()) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}
