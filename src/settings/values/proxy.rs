//! The forward proxy that outgoing connections use.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::url::{mask_login, parse_exactly};
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
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    fn parse(text: &str) -> Option<Self> {
        let (url, _) = parse_exactly(text, &["http", "https", "socks5h"])?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        // The client parses it as an `http::Uri`, and would ignore what is not one.
        if !bare || http::Uri::try_from(url.as_str()).is_err() {
            return None;
        }
        let fits_socks = |text: &str| percent_decode_str(text).count() <= MAX_SOCKS_LOGIN;
        if url.scheme() == "socks5h" && !(fits_socks(url.username()) && url.password().is_none_or(fits_socks)) {
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
