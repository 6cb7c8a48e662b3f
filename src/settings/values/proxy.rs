//! The forward proxy for outgoing connections.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::url::{mask_login, parse_exactly};
use crate::secret::{MASK, Secret};

const EXPECTED: &str = "expected \"\" (the environment's proxy), \"none\", or a proxy's URL such as \
                        \"http://user:password@proxy.example.com:3128\" (http, https or socks5h; no path; reserved \
                        characters of user and password percent-encoded)";

/// The maximum length of user and password in SOCKS, in bytes (RFC 1929).
const MAX_SOCKS_LOGIN: usize = 255;

/// Which forward proxy outgoing connections use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Secret")]
pub enum HttpProxy {
    /// The one named by `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, if any.
    #[default]
    Environment,
    /// None, regardless of the environment.
    Never,
    /// The one at this URL, which may contain a password.
    Through(Secret),
}

/// The URL of a proxy.
fn parse(text: &str) -> Option<Url> {
    let (url, _) = parse_exactly(text, &["http", "https", "socks5h"])?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    // The client parses it as an `http::Uri`, and would ignore anything else.
    if !bare || http::Uri::try_from(url.as_str()).is_err() {
        return None;
    }
    let fits_socks = |text: &str| percent_decode_str(text).count() <= MAX_SOCKS_LOGIN;
    let fits = url.scheme() != "socks5h" || fits_socks(url.username()) && url.password().is_none_or(fits_socks);
    fits.then_some(url)
}

impl TryFrom<Secret> for HttpProxy {
    type Error = &'static str;

    fn try_from(text: Secret) -> Result<Self, Self::Error> {
        match text.expose() {
            "" => Ok(Self::Environment),
            "none" => Ok(Self::Never),
            url => parse(url).map(|url| Self::Through(Secret::new(url))).ok_or(EXPECTED),
        }
    }
}

impl Serialize for HttpProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Environment => serializer.serialize_str(""),
            Self::Never => serializer.serialize_str("none"),
            Self::Through(url) => {
                let masked = parse(url.expose()).and_then(mask_login);
                serializer.serialize_str(masked.as_ref().map_or(MASK, Url::as_str))
            }
        }
    }
}
