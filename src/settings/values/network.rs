//! Network addresses and hosts: names, addresses, or all names below a domain.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};

use super::AsText;

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

text! {
    /// A host name, or `*.` and a domain for every name below it.
    pub struct HostPattern: |text| is_domain(text.strip_prefix("*.").unwrap_or(text)),
    "expected a host's name such as \"wxgate.example.com\", or \"*.example.com\" for all below it (no scheme, no port; a name \
     in Unicode in its xn-- form)"
}

impl HostPattern {
    /// Whether it matches `host`, which has no port.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let pattern = self.0.to_ascii_lowercase();
        match pattern.strip_prefix('*') {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => host == pattern,
        }
    }
}

text! {
    /// A host, a domain with all its subdomains, or a network that is reached without the proxy, as in a `NO_PROXY` list.
    pub struct DirectHost: is_direct_host,
    "expected a host, a domain (its subdomains count too), an IP address or a network such as \"10.0.0.0/8\"; no scheme, no \
     port, no `*`"
}

fn is_direct_host(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() || is_domain(name)
}

/// The address in `host`, an IPv6 address with or without brackets; `None` if it is a name.
pub fn host_ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// Whether `name` has a label between any two dots, made of letters, digits, `-` and `_`.
fn is_domain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(allowed))
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
