//! Hosts: names, addresses, or all names below a domain.

use std::net::IpAddr;

use ipnet::IpNet;

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
pub(super) fn is_domain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(allowed))
}
