//! The forward proxy that outgoing connections use.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::url::mask_login;
use crate::secret::Secret;

const EXPECTED: &str = "expected \"\" (the environment's proxy), \"none\", or a proxy's URL such as \
                        \"http://user:password@proxy.example.com:3128\" (http, https or socks5h; no path; reserved \
                        characters of user and password percent-encoded)";

/// The longest user and the longest password that SOCKS takes, in bytes (RFC 1929).
const MAX_SOCKS_LOGIN: usize = 255;

/// Which forward proxy outgoing connections use.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Secret")]
pub enum HttpProxy {
    /// The one that `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name, if any.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Never,
    /// This one.
    Through(ProxyUrl),
}

/// A proxy's URL. It may hold a password, so it prints itself masked.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    whole: Secret,
    masked: Url,
}

impl ProxyUrl {
    /// The URL with its password, for the line that builds the client.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    fn parse(text: &str) -> Option<Self> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        let (scheme, rest) = text.split_once("://")?;
        if text.contains(odd) || !matches!(scheme, "http" | "https" | "socks5h") || rest.starts_with('/') {
            return None;
        }
        let url = Url::parse(text).ok().filter(Url::has_host)?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        // The client parses it as an `http::Uri`, and would ignore what is not one.
        if !bare || http::Uri::try_from(url.as_str()).is_err() {
            return None;
        }
        let fits_socks = |text: &str| percent_decode_str(text).count() <= MAX_SOCKS_LOGIN;
        if scheme == "socks5h" && !(fits_socks(url.username()) && url.password().is_none_or(fits_socks)) {
            return None;
        }
        let masked = mask_login(url.clone())?;
        let whole = Secret::new(url);
        Some(Self { whole, masked })
    }
}

impl HttpProxy {
    fn as_str(&self) -> &str {
        match self {
            Self::Environment => "",
            Self::Never => "none",
            Self::Through(url) => url.masked.as_str(),
        }
    }
}

impl TryFrom<Secret> for HttpProxy {
    type Error = &'static str;

    fn try_from(text: Secret) -> Result<Self, Self::Error> {
        match text.expose() {
            "" => Ok(Self::Environment),
            "none" => Ok(Self::Never),
            url => ProxyUrl::parse(url).map(Self::Through).ok_or(EXPECTED),
        }
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for HttpProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Result<HttpProxy, &'static str> {
        Secret::new(text).try_into()
    }

    #[test]
    fn proxy_url_is_printed_masked_and_used_whole() {
        for (text, used, masked) in [
            ("http://proxy:3128", "http://proxy:3128/", "http://proxy:3128/"),
            (
                "http://user:hunter2%40@proxy:3128",
                "http://user:hunter2%40@proxy:3128/",
                "http://user:********@proxy:3128/",
            ),
            (
                "https://hunter2@[::1]:1/",
                "https://hunter2@[::1]:1/",
                "https://********@[::1]:1/",
            ),
            (
                "socks5h://u:hunter2@p:1080",
                "socks5h://u:hunter2@p:1080",
                "socks5h://u:********@p:1080",
            ),
        ] {
            let proxy = proxy(text).unwrap();
            let HttpProxy::Through(url) = &proxy else {
                panic!("{text}")
            };
            assert_eq!(url.expose(), used);
            assert_eq!(format!("{proxy:?}"), masked);
            assert_eq!(serde_json::to_value(&proxy).unwrap(), masked);
        }
        assert_eq!(proxy("").unwrap(), HttpProxy::Environment);
        assert_eq!(proxy("none").unwrap(), HttpProxy::Never);
    }

    #[test]
    fn invalid_proxy_is_refused() {
        let words = "proxy:3128 None ftp://proxy socks5://proxy:1080 socks4://proxy:1080 http:// http:///proxy \
                     http://proxy/path http://proxy?x http://proxy#x http://proxy:port http://user:pa/ss@proxy socks5h://";
        let long = format!("socks5h://u:{}@p", "x".repeat(256));
        for text in words.split(' ').chain(["http://pro xy", &long]) {
            assert!(proxy(text).is_err(), "{text}");
        }
    }
}
