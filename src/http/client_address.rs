//! The client's address, behind the proxies that the operator trusts.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

/// The client's address. The server puts the peer's into a request's extensions; behind trusted proxies, a
/// layer replaces it.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl Default for ClientAddress {
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED.into())
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// The client's address. `X-Forwarded-For` is believed only as far as trusted proxies wrote it: each entry was
/// added by the hop after it, so from the end, the first address that is not a trusted proxy's is the client.
/// Anybody may have written what precedes it.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() {
        return client;
    }
    // As bytes: if a list that is not text were skipped, the one before it, which anybody may have written, would
    // be taken for the proxy's.
    let lists = headers.get_all("x-forwarded-for").iter().rev();
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
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare
        .unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let lists: Vec<_> = forwarded.iter().map(|list| list.as_bytes()).collect();
        client_behind(peer, &lists, trusted)
    }

    fn client_behind(peer: &str, forwarded: &[&[u8]], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn forwarded_for_is_believed_only_from_trusted_proxies() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"], &[]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"]),
            "1.2.3.4"
        );
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4:5678"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn address_is_read_in_every_spelling() {
        let behind = |list| client("10.0.0.1", &[list], &["10.0.0.0/8", "fd00::/8"]);
        for (list, address) in [
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
            ("6.6.6.6,1.2.3.4,fd00::7", "1.2.3.4"),
            (" 1.2.3.4 ,\t10.0.0.9", "1.2.3.4"),
        ] {
            assert_eq!(behind(list), address, "{list}");
        }
        // An entry that can't be read is not skipped.
        for list in [
            "",
            ",",
            "6.6.6.6,unknown",
            "6.6.6.6,_hidden",
            "6.6.6.6,",
            "6.6.6.6,1.2.3.4.5",
            "6.6.6.6,1.2.3.4:x",
        ] {
            assert_eq!(behind(list), "10.0.0.1", "{list}");
        }
    }

    #[test]
    fn list_that_is_not_text_is_not_skipped() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(
            client_behind("10.0.0.1", &[b"6.6.6.6", b"\xff, 1.2.3.4"], &trusted),
            "1.2.3.4"
        );
        assert_eq!(client_behind("10.0.0.1", &[b"6.6.6.6", b"\xff"], &trusted), "10.0.0.1");
    }

    proptest! {
        /// Whatever a client writes before it, the trusted proxy's entry decides.
        #[test]
        fn forged_entries_change_nothing(
            forged in prop::collection::vec("[ -~]{0,40}", 0..4),
            real: std::net::Ipv4Addr,
            port in prop::option::of(any::<u16>()),
            appended: bool,
        ) {
            prop_assume!(real.octets()[0] != 10);
            let real_text = port.map_or(real.to_string(), |port| format!("{real}:{port}"));
            let mut lists = forged;
            match lists.last_mut().filter(|_| appended) {
                Some(last) => *last = format!("{last},{real_text}"),
                None => lists.push(real_text),
            }
            let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
            prop_assert_eq!(client("10.0.0.1", &lists, &["10.0.0.0/8"]), real.to_string());
        }
    }
}
