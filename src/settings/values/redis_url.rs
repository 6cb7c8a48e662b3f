//! The address of a Redis server, password and all.

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

/// A `redis://` or `rediss://` URL. It may hold a password, so it prints itself masked.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Secret")]
pub struct RedisUrl {
    whole: Secret,
    /// The same, parsed.
    info: ConnectionInfo,
    /// The same with what may be secret masked.
    masked: Url,
}

impl RedisUrl {
    /// The URL with its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    /// The same for the client. Its `Debug` may print the password.
    #[must_use]
    pub fn connection_info(&self) -> &ConnectionInfo {
        &self.info
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
        if let Some(fault) = fault(text) {
            return Err(fault);
        }
        let known_scheme = text.starts_with("redis://") || text.starts_with("rediss://");
        let info = text.into_connection_info().map_err(|_| EXPECTED)?;
        if !known_scheme {
            return Err(EXPECTED);
        }
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        // Nothing else has a meaning there, and it may be a password.
        if url.query_pairs().any(|(name, _)| name != "protocol") {
            return Err(EXPECTED);
        }
        let masked = mask_login(url).ok_or(EXPECTED)?;
        Ok(Self { whole, info, masked })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<RedisUrl, &'static str> {
        Secret::new(text).try_into()
    }

    #[test]
    fn login_is_masked() {
        for (text, masked) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("redis://:hunter2@r", "redis://:********@r"),
            (
                "rediss://u:hunter2@r:1/2?protocol=resp3",
                "rediss://u:********@r:1/2?protocol=resp3",
            ),
            ("redis://hunter2@r", "redis://********@r"),
        ] {
            let url = url(text).unwrap();
            assert_eq!(url.expose(), text);
            assert_eq!(format!("{url:?}"), masked);
            assert_eq!(serde_json::to_value(&url).unwrap(), masked);
        }
    }

    #[test]
    fn scheme_and_host_are_parsed() {
        assert!(url("rediss://r").unwrap().is_tls());
        assert!(!url("redis://r").unwrap().is_tls());
        assert_eq!(url("redis://[::1]:7/0").unwrap().host(), "[::1]");
    }

    #[test]
    fn raw_characters_in_a_password_are_explained() {
        for text in [
            "redis://:pa#ss@r:6379/0",
            "redis://:pa/ss@r:6379/0",
            "redis://:pa?ss@r:6379/0",
            "rediss://u:12#34@r:6379",
            "redis://u:12/34@r",
        ] {
            let error = url(text).unwrap_err();
            assert!(
                error.contains("percent-encode") && error.contains("redis.password"),
                "{text}: {error}"
            );
        }
        assert!(url("redis://:pa%23%2Fss@r:6379/0").is_ok());
        assert!(url("redis://r#x").unwrap_err().contains("%23"));
    }

    #[test]
    fn unchecked_certificates_are_refused() {
        for text in ["rediss://r/#insecure", "rediss://:p@r:6379/0#insecure"] {
            assert!(url(text).unwrap_err().contains("#insecure"), "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for text in " r:6379 http://r unix:///r redis:// redis://r/x redis://r:x redis://r?pass=p".split(' ') {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
