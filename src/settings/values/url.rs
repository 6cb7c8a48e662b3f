//! URLs: outgoing addresses, allowed origins, and the prefixes of pictures' URLs.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use url::Url;

use super::AsText;
use super::base_path::{BasePath, is_plain_path};
use super::network::is_loopback;
use crate::secret::MASK;

/// Parses an absolute http(s) URL without user info, exactly as written: `Url` alone would silently correct white space
/// and missing slashes.
pub(crate) fn parse_http(text: &str) -> Option<Url> {
    let (url, rest) = parse_exactly(text, &["http", "https"])?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (!authority.contains('@')).then_some(url)
}

/// Parses an absolute URL with one of `schemes`, exactly as written; also returns what follows its `://`.
pub(super) fn parse_exactly<'a>(text: &'a str, schemes: &[&str]) -> Option<(Url, &'a str)> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let (scheme, rest) = text.split_once("://")?;
    if text.contains(odd) || !schemes.contains(&scheme) || rest.starts_with('/') {
        return None;
    }
    Some((Url::parse(text).ok().filter(Url::has_host)?, rest))
}

/// Masks the password, or a user without one, which is more often a misplaced password.
pub(super) fn mask_login(mut url: Url) -> Option<Url> {
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    } else if !url.username().is_empty() {
        url.set_username(MASK).ok()?;
    }
    Some(url)
}

/// The origin of a page, or `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin as browsers send it: lower-case, without a default port; or `*`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `*`.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl TryFrom<String> for Origin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "expected an origin such as \"https://h5.example.com\" (scheme, host and, if it is not the \
                                default, port; nothing after them), or \"*\" for any";
        if text == "*" {
            return Ok(Self(text));
        }
        match parse_exactly(&text, &["http", "https"]) {
            // A star in a host would be taken literally, and match nothing.
            Some((url, host)) if !host.contains(['/', '?', '#', '@', '*']) => {
                Ok(Self(url.origin().ascii_serialization()))
            }
            _ => Err(EXPECTED),
        }
    }
}

/// Scheme, host and, if the API is below one, a path: the base to which API paths are appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The URL of `path` and `query`, both already escaped, below this one. `None` if the URL's path would differ: for
    /// example if it contains dot segments, or a character that is not escaped.
    pub fn join(&self, path: &str, query: Option<&str>) -> Option<Url> {
        // Without a slash it would extend the host name.
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut url = Url::parse(&[self.as_str(), slash, path].concat()).ok()?;
        let own_path = self.0.path().trim_end_matches('/');
        let below = url.path().strip_prefix(own_path)?;
        let as_given = below.strip_prefix(slash) == Some(path) && url.query().is_none() && url.fragment().is_none();
        url.set_query(query);
        as_given.then_some(url)
    }

    /// The URL itself, without a trailing slash.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own if none is written.
    pub fn port(&self) -> Option<u16> {
        self.0.port_or_known_default()
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_http(&text)
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .map(Self)
            .ok_or("expected a URL such as \"https://api.weixin.qq.com\" (http or https, no user, no `?`, no `#`)")
    }
}

impl From<BaseUrl> for String {
    fn from(base: BaseUrl) -> Self {
        base.as_str().to_owned()
    }
}

text! {
    /// The prefix of locally stored pictures' URLs: a path of the gateway, or a URL.
    pub struct PublicBase: is_public_base,
    "expected a path such as \"/images\", or a URL such as \"https://img.example.com/images\" \
     (path of letters, digits, `-`, `_`, `.`, `~`; no `?`, no `#`)"
}

fn is_public_base(text: &str) -> bool {
    let (host, path) = host_and_path(text);
    let is_path = host.is_empty() && !path.is_empty();
    (is_path || parse_http(text).is_some()) && is_plain_path(path) && !text.contains(['?', '#'])
}

/// The scheme and host, if any, and the path without a trailing slash.
fn host_and_path(text: &str) -> (&str, &str) {
    let text = text.trim_end_matches('/');
    let host_at = text.find("://").map_or(0, |scheme| scheme + "://".len());
    let path_at = text[host_at..].find('/').map_or(text.len(), |path| host_at + path);
    text.split_at(path_at)
}

impl PublicBase {
    /// The URL of the picture called `name`.
    pub fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.0.trim_end_matches('/'))
    }

    /// Only the path: `/images`, or empty if the URL has none.
    pub fn path(&self) -> &str {
        host_and_path(&self.0).1
    }

    /// The route of the pictures, without `base`: the path, or `/images` if the URL has none.
    pub fn route(&self, base: &BasePath) -> &str {
        match base.rest_of(self.path()).unwrap_or(self.path()) {
            "" => "/images",
            route => route,
        }
    }

    /// This base with `base` prepended to its path, unless it already has that or names a host.
    #[must_use]
    pub fn below(&self, base: &BasePath) -> Self {
        let is_path = self.0.starts_with('/');
        if !is_path || base.rest_of(self.path()).is_some() {
            return self.clone();
        }
        Self(format!("{}{}", base.as_str(), self.path()))
    }
}

/// An http(s) URL without user info, or `""` for none.
pub struct OptionalUrl;

impl AsText for OptionalUrl {
    type Value = Option<Url>;

    fn expected() -> impl Display {
        "expected a URL such as \"https://files.internal/upload\" (http or https, no user), or \"\" for none"
    }

    fn parse(text: &str) -> Option<Option<Url>> {
        if text.is_empty() {
            return Some(None);
        }
        parse_http(text).map(Some)
    }

    /// With its query masked, which may contain a key.
    fn print(url: &Option<Url>) -> String {
        let Some(mut url) = url.clone() else {
            return String::new();
        };
        if url.query().is_some() {
            url.set_query(Some(MASK));
        }
        url.into()
    }
}

/// Where public keys are published: an https URL, or an http one on the local host; `""` for none. Anyone who could
/// change the answer in transit could sign tokens.
pub struct KeySetUrl;

impl AsText for KeySetUrl {
    type Value = Option<Url>;

    fn expected() -> impl Display {
        "expected an https URL such as \"https://login.example.com/.well-known/jwks.json\" \
         (no user; http only for 127.0.0.1, [::1] and localhost), or \"\" for none"
    }

    fn parse(text: &str) -> Option<Option<Url>> {
        let url = OptionalUrl::parse(text)?;
        let is_safe = |url: &Url| url.scheme() == "https" || url.host_str().is_some_and(is_loopback);
        url.as_ref().is_none_or(is_safe).then_some(url)
    }

    fn print(url: &Option<Url>) -> String {
        OptionalUrl::print(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_joined_to_a_base_url_with_one_slash() {
        for (base, path, query, joined) in [
            ("https://a.cn", "/cgi-bin/token", None, "https://a.cn/cgi-bin/token"),
            (
                "http://127.0.0.1:1/wx/",
                "/cgi-bin/token",
                None,
                "http://127.0.0.1:1/wx/cgi-bin/token",
            ),
            ("http://a.cn", "/x%2fy", Some("a=%7e&&b"), "http://a.cn/x%2fy?a=%7e&&b"),
            ("http://a.cn", ".evil.cn", None, "http://a.cn/.evil.cn"),
        ] {
            let base = BaseUrl::try_from(base.to_owned()).unwrap();
            assert_eq!(base.join(path, query).unwrap().as_str(), joined);
            for path in ["/x y", "/x?y", "/x#y", "/a/../b", "/a/%2E%2e/b", "/a/./b", "/a\\b"] {
                assert_eq!(base.join(path, None), None, "{path}");
            }
        }
    }

    #[test]
    fn public_base_is_a_path_or_a_url() {
        for (text, joined, path) in [
            ("/a/b/", "/a/b/a.jpg", "/a/b"),
            ("https://img.example.com", "https://img.example.com/a.jpg", ""),
            ("http://h:1/images/", "http://h:1/images/a.jpg", "/images"),
        ] {
            let base = PublicBase::try_from(text.to_owned()).unwrap();
            assert_eq!((base.join("a.jpg").as_str(), base.path()), (joined, path));
        }
    }
}
