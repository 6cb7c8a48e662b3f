//! Other spellings of the paths of token and ticket. SDKs join base URL and path carelessly, and WeChat accepts the result.

use axum::extract::Request;
use axum::http::Uri;

use crate::http::base_path::with_path_and_query;
use crate::wechat::ApiPath;

/// The classic token.
pub(super) const TOKEN: &str = "/cgi-bin/token";
/// The stable token.
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// The ticket.
pub(super) const TICKET: &str = "/cgi-bin/ticket/getticket";

/// `request` with the intended route's path: any letter case, repeated slashes and a trailing slash are accepted.
pub(super) fn normalize(mut request: Request) -> Request {
    if let Some(uri) = normalized(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn normalized(uri: &Uri) -> Option<Uri> {
    let path = ApiPath::parse(uri.path())?;
    let route = [TOKEN, STABLE_TOKEN, TICKET].into_iter().find(|route| path.is(route))?;
    let target = match uri.query() {
        Some(query) => format!("{route}?{query}"),
        None => route.to_owned(),
    };
    with_path_and_query(uri, &target)
}
