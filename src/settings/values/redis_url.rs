//! The address of a Redis server, password and all.

use std::fmt;

use redis::IntoConnectionInfo;
use reqwest::Url;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::secret::{MASK, Secret};

const EXPECTED: &str = "expected a Redis URL such as \"redis://127.0.0.1:6379/0\", or rediss:// for TLS \
                        (the value is not shown, it may hold a password)";

/// A `redis://` or `rediss://` URL. It may hold a password, so it prints itself masked.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    whole: Secret,
    /// The same with what may be secret masked.
    masked: Url,
}

impl RedisUrl {
    /// The URL with its password, for the line that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.masked.scheme() == "rediss"
    }

    /// The host: a name or an address, an IPv6 address with its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.masked.host_str().unwrap_or_default()
    }

    /// The URL with its password masked, for logs and for people.
    #[must_use]
    pub fn masked(&self) -> &str {
        self.masked.as_str()
    }
}

impl TryFrom<Secret> for RedisUrl {
    type Error = &'static str;

    fn try_from(whole: Secret) -> Result<Self, Self::Error> {
        let text = whole.expose();
        let known_scheme = text.starts_with("redis://") || text.starts_with("rediss://");
        if !known_scheme || text.into_connection_info().is_err() {
            return Err(EXPECTED);
        }
        let masked = mask(Url::parse(text).map_err(|_| EXPECTED)?).ok_or(EXPECTED)?;
        Ok(Self { whole, masked })
    }
}

/// Masks the password, or a user without one, which is more often a password in the wrong place.
fn mask(mut url: Url) -> Option<Url> {
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    } else if !url.username().is_empty() {
        url.set_username(MASK).ok()?;
    }
    Some(url)
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.masked())
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}
