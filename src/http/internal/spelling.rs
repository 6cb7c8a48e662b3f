//! Other spellings of the paths of token and ticket. SDKs join a base URL and a path without care, and WeChat takes what
//! they send.

use axum::extract::Request;
use axum::http::Uri;

use crate::http::base_path::with_path_and_query;

/// The classic token.
pub(super) const TOKEN: &str = "/cgi-bin/token";
/// The stable token.
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// The ticket.
pub(super) const TICKET: &str = "/cgi-bin/ticket/getticket";

/// `request` with the path of the route that is meant: whatever its case, with repeated slashes, with one at the end.
pub(super) fn normalize(mut request: Request) -> Request {
    if let Some(uri) = normalized(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn normalized(uri: &Uri) -> Option<Uri> {
    let is_meant = |route: &&str| {
        let given = uri.path().split('/').filter(|part| !part.is_empty());
        given.map(str::to_ascii_lowercase).eq(route.split('/').skip(1))
    };
    let route = [TOKEN, STABLE_TOKEN, TICKET].into_iter().find(is_meant)?;
    let target = match uri.query() {
        Some(query) => format!("{route}?{query}"),
        None => route.to_owned(),
    };
    with_path_and_query(uri, &target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_slashes_do_not_matter() {
        for (given, meant) in [
            ("/cgi-bin/token", "/cgi-bin/token"),
            ("//CGI-bin///Token/?a=%2F&b", "/cgi-bin/token?a=%2F&b"),
            ("/cgi-bin/stable_token//", "/cgi-bin/stable_token"),
            ("/Cgi-Bin/Ticket/getTicket?", "/cgi-bin/ticket/getticket?"),
            (
                "http://api.weixin.qq.com//cgi-bin/token?x",
                "http://api.weixin.qq.com/cgi-bin/token?x",
            ),
        ] {
            assert_eq!(normalized(&given.parse().unwrap()).unwrap(), meant, "{given}");
        }
        for other in [
            "/",
            "/cgi-bin/%74oken",
            "/cgi-bin/tokens",
            "/x/cgi-bin/token",
            "/cgi-bin/token/x",
            "*",
        ] {
            assert_eq!(normalized(&other.parse().unwrap()), None, "{other}");
        }
    }
}
