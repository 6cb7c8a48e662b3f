//! A token in a cookie. A browser sends cookies with every page's requests, so the request has to come from a page of
//! ours: otherwise any page could upload as the user who opens it.

use http::{HeaderMap, header};

use super::{only, refused};
use crate::http::ApiError;
use crate::settings::values::Origin;

/// The cookie that may hold the token.
#[derive(Clone)]
pub(super) struct TokenCookie {
    name: String,
    /// The origins whose pages may use it, besides the request's own host.
    origins: Vec<Origin>,
}

impl TokenCookie {
    pub(super) fn new(name: &str, origins: &[Origin]) -> Self {
        Self {
            name: name.to_owned(),
            origins: origins.to_vec(),
        }
    }

    /// The token in the cookie of a request with these headers, if it comes from a page that may use it.
    pub(super) fn token<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
        let name = &self.name;
        let token = self.value(headers).ok_or_else(|| {
            refused(format!(
                "send a JSON Web Token as a bearer token, or in the cookie {name} (once)"
            ))
        })?;
        if self.is_of_an_allowed_page(headers) {
            return Ok(token);
        }
        Err(refused(format!(
            "the cookie {name} counts only with an Origin that has this request's own Host, or is in \
             server.cors_allowed_origins"
        )))
    }

    /// The cookie's value; none if it was sent twice, for then one of them may be another site's.
    fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        let cookies = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        let mut values = cookies
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter_map(|(name, value)| (name == self.name).then_some(value));
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    fn is_of_an_allowed_page(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = only(headers, &header::ORIGIN) else {
            return false;
        };
        self.origins.iter().any(|allowed| allowed.as_str() == origin)
            || only(headers, &header::HOST).is_some_and(|host| is_origin_of_host(origin, host))
    }
}

/// Whether `origin` has the name and the port of `host`. Its scheme is not known here: a proxy may end TLS.
fn is_origin_of_host(origin: &str, host: &str) -> bool {
    let Some((scheme, _)) = origin.split_once("://") else {
        return false;
    };
    let parsed = |text: String| Origin::try_from(text).ok();
    // With the same scheme for both, a default port may be written or not.
    let origin_of_host = parsed(format!("{scheme}://{host}"));
    origin_of_host.is_some() && origin_of_host == parsed(origin.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_has_the_name_and_port_of_the_host() {
        for (origin, host) in [
            ("https://h5.example.com", "h5.example.com"),
            ("https://h5.example.com", "h5.example.com:443"),
            ("https://h5.example.com", "H5.example.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_origin_of_host(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://h5.example.com", "example.com"),
            ("https://h5.example.com.evil.cn", "h5.example.com"),
            ("https://h5.example.com:8443", "h5.example.com"),
            ("https://h5.example.com", "h5.example.com:8443"),
            ("https://evil.cn", "h5.example.com"),
            ("https://evil.cn", "h5.example.com@evil.cn"),
            ("https://evil.cn", "evil.cn/.h5.example.com?"),
            ("null", "null"),
            ("", ""),
            ("file://", ""),
            ("data:text/html,x", "x"),
        ] {
            assert!(!is_origin_of_host(origin, host), "{origin} {host}");
        }
    }
}
