//! Network addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An address to listen on, such as `127.0.0.1:8080`; for serde's `with`.
pub mod address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const EXPECTED: &str = "expected an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";

    /// Reads an address.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(EXPECTED))
    }

    /// Writes an address.
    pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }
}

/// An address to listen on, or `""` for none; for serde's `with`.
pub mod optional_address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const EXPECTED: &str =
        "expected an address and a port such as \"127.0.0.1:9090\" or \"[::]:9090\", or \"\" to turn the listener off";

    /// Reads an address.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| D::Error::custom(EXPECTED))
    }

    /// Writes an address.
    pub fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }
}

/// Networks in CIDR notation; for serde's `with`.
pub mod networks {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    const EXPECTED: &str = "expected a network such as \"10.0.0.0/8\", or \"10.0.0.7/32\" for one address";

    /// Reads networks.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| text.parse().map_err(|_| D::Error::custom(EXPECTED)))
            .collect()
    }

    /// Writes networks.
    pub fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        networks.serialize(serializer)
    }
}

/// A host and a port, such as `redis-1:6379` or `[::1]:6379`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host: a name or an address, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed
                .strip_suffix(']')
                .filter(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => Some(host).filter(|host| is_host_name(host))?,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn is_host_name(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(allowed)
}

impl TryFrom<String> for HostPort {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("expected a host and a port such as \"redis-1:6379\" or \"[::1]:6379\"")
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_told_apart() {
        for (text, host, port) in [
            ("redis-1:6379", "redis-1", 6379),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:7", "::1", 7),
        ] {
            let address = HostPort::try_from(text.to_owned()).unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn half_an_address_is_refused() {
        for text in [
            "",
            "redis",
            "redis:",
            ":6379",
            "redis:0",
            "redis:65536",
            "::1:7",
            "[x]:7",
            "redis://r:1",
            "a b:1",
            "u:p@r:1",
        ] {
            assert!(HostPort::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
