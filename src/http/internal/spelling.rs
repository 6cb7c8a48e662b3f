//! Other spellings of the paths of token and ticket. SDKs join base URL and path carelessly, and WeChat accepts the result.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use crate::wechat::ApiPath;

/// The classic token.
pub(super) const TOKEN: &str = "/cgi-bin/token";
/// The stable token.
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// The ticket.
pub(super) const TICKET: &str = "/cgi-bin/ticket/getticket";

/// The intended route's path and the query: any letter case, repeated slashes and a trailing slash are accepted.
pub(super) fn normalized(uri: &Uri) -> Option<PathAndQuery> {
    let path = ApiPath::parse(uri.path())?;
    let route = [TOKEN, STABLE_TOKEN, TICKET].into_iter().find(|route| path.is(route))?;
    let target = match uri.query() {
        Some(query) => format!("{route}?{query}"),
        None => route.to_owned(),
    };
    target.parse().ok()
}
