//! The address of a Redis server, including its password.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::url::mask_login;
use crate::secret::Secret;

const EXPECTED: &str = "expected a Redis URL such as \"redis://127.0.0.1:6379/0\", or rediss:// for TLS \
                        (the value is not shown, it may hold a password)";

const RAW_PASSWORD: &str = "expected a password without a raw `#`, `/` or `?`: percent-encode it (%23, %2F, %3F), or \
                            give it as redis.password instead (the value is not shown, it may hold a password)";
const INSECURE: &str = "expected no #insecure: the server's certificate is always checked; trust a private CA with \
                        http_client.ca_file (the value is not shown, it may hold a password)";
const FRAGMENT: &str = "expected nothing after a `#`; in a password, write it as %23, or give the password as redis.password \
                        instead (the value is not shown, it may hold a password)";

/// A `redis://` or `rediss://` URL. It may contain a password, so it prints itself masked.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Secret")]
pub struct RedisUrl {
    info: ConnectionInfo,
    /// The same URL with possible secrets masked.
    masked: Url,
}

impl RedisUrl {
    /// The URL as the Redis client takes it. Its `Debug` may print the password.
    pub fn connection_info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        self.masked.scheme() == "rediss"
    }

    /// The host: a name or an address, an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        self.masked.host_str().unwrap_or_default()
    }

    /// The URL with its password masked, for logs and for people.
    pub fn masked(&self) -> &str {
        self.masked.as_str()
    }

    fn parse(text: &str) -> Option<Self> {
        let known_scheme = text.starts_with("redis://") || text.starts_with("rediss://");
        let url = Url::parse(text).ok().filter(|_| known_scheme)?;
        // Nothing else has a meaning there, and it may be a password.
        let odd = url.query_pairs().any(|(name, _)| name != "protocol");
        let info = text.into_connection_info().ok().filter(|_| !odd)?;
        let masked = mask_login(url)?;
        Some(Self { info, masked })
    }
}

impl TryFrom<Secret> for RedisUrl {
    type Error = &'static str;

    fn try_from(url: Secret) -> Result<Self, Self::Error> {
        match fault(url.expose()) {
            Some(fault) => Err(fault),
            None => Self::parse(url.expose()).ok_or(EXPECTED),
        }
    }
}

/// The likely mistake in a URL that can't be parsed, or that would be parsed differently than intended.
fn fault(text: &str) -> Option<&'static str> {
    let rest = text
        .strip_prefix("redis://")
        .or_else(|| text.strip_prefix("rediss://"))?;
    let tail = &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..];
    if tail.contains('@') {
        return Some(RAW_PASSWORD);
    }
    tail.ends_with("#insecure")
        .then_some(INSECURE)
        .or_else(|| tail.contains('#').then_some(FRAGMENT))
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
