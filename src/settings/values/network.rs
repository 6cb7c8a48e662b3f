//! Network addresses.

use std::fmt::Display;
use std::net::{Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};

use super::AsText;
use super::host::{host_ip, is_domain};

/// An address to listen on, or `""` for none.
pub struct OptionalAddress;

impl AsText for OptionalAddress {
    type Value = Option<SocketAddr>;

    fn expected() -> impl Display {
        "expected an address and a port such as \"127.0.0.1:9090\" or \"[::]:9090\", or \"\" to turn the listener off"
    }

    fn parse(text: &str) -> Option<Option<SocketAddr>> {
        if text.is_empty() {
            return Some(None);
        }
        text.parse().ok().map(Some)
    }

    fn print(address: &Option<SocketAddr>) -> String {
        address.map_or_else(String::new, |address| address.to_string())
    }
}

/// Reads an address to listen on; for serde's `deserialize_with`.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    const EXPECTED: &str = "expected an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(EXPECTED))
}

/// Reads networks in CIDR notation; for serde's `deserialize_with`.
pub fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    const EXPECTED: &str = "expected a network such as \"10.0.0.0/8\", or \"10.0.0.7/32\" for one address";
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| text.parse().map_err(|_| D::Error::custom(EXPECTED)))
        .collect()
}

text! {
    /// A host and a port, such as `redis-1:6379` or `[::1]:6379`.
    pub struct HostPort: |text| host_and_port(text).is_some(),
    "expected a host and a port such as \"redis-1:6379\" or \"[::1]:6379\""
}

impl HostPort {
    /// The host, an IPv6 address without its brackets, and the port, which is never 0.
    pub fn parts(&self) -> (&str, u16) {
        host_and_port(&self.0).unwrap_or_default()
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed
            .strip_suffix(']')
            .filter(|ip| ip.parse::<Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| is_domain(host.trim_end_matches('.')))?,
    };
    Some((host, port))
}

/// Whether `host`, a name or an address, is the local host.
pub(in crate::settings) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host_ip(host).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_an_address_has_no_brackets() {
        for (text, host, port) in [("redis-1:6379", "redis-1", 6379), ("[::1]:7", "::1", 7)] {
            let address = HostPort::try_from(text.to_owned()).unwrap();
            assert_eq!(address.parts(), (host, port));
        }
    }
}
