//! The client's address, including behind trusted proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::settings::values::host_ip;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address. The server puts the peer's address into a request's extensions; if the peer is a trusted proxy,
/// the outermost layer replaces it.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl Default for ClientAddress {
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED.into())
    }
}

/// `X-Forwarded-For` is trusted only as far as trusted proxies wrote it. Each entry was added by the hop after it, so from the
/// end, the first address that is not a trusted proxy's is the client. Anybody may have written what precedes it.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    // As bytes: if a list that is not text were skipped, the one before it, which anybody may have written, would be
    // taken for the proxy's.
    let lists = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut hops = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    while is_trusted(&client) {
        match hops.next().and_then(parse_hop) {
            Some(hop) => client = hop,
            None => break,
        }
    }
    client
}

/// One entry of `X-Forwarded-For`, with or without a port.
fn parse_hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = host_ip(text).or_else(with_port);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lists: &[&[u8]], trusted: &[&str]) -> String {
        let lists = lists.iter().map(|list| HeaderValue::from_bytes(list).unwrap());
        let headers: HeaderMap = lists.map(|list| (X_FORWARDED_FOR, list)).collect();
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn address_is_read_in_every_spelling() {
        let behind = |list: &[u8]| client("10.0.0.1", &[b"6.6.6.6", list], &["10.0.0.0/8", "fd00::/8"]);
        for (list, address) in [
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
            ("6.6.6.6,1.2.3.4,fd00::7", "1.2.3.4"),
            (" 1.2.3.4 ,\t10.0.0.9", "1.2.3.4"),
        ] {
            assert_eq!(behind(list.as_bytes()), address, "{list}");
        }
        assert_eq!(behind(b"\xff, 1.2.3.4"), "1.2.3.4");
        // Neither an unreadable entry nor a list that is not text is skipped.
        for list in [
            "",
            ",",
            "unknown",
            "6.6.6.6,_hidden",
            "6.6.6.6,",
            "1.2.3.4.5",
            "1.2.3.4:x",
        ] {
            assert_eq!(behind(list.as_bytes()), "10.0.0.1", "{list}");
        }
        assert_eq!(behind(b"\xff"), "10.0.0.1");
        // An IPv6 listener also sees IPv4 peers.
        assert_eq!(client("::ffff:10.0.0.1", &[b"1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
    }
}
