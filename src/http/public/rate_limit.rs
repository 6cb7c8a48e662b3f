//! Limits on requests per second and client address, in this process.

use std::net::IpAddr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::HashMapStateStore};
use ipnet::IpNet;

use crate::http::{ApiError, Code};

/// One route's limit; `None` if it is off.
pub struct RateLimit(Option<RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>>);

impl RateLimit {
    pub fn new(rate: Option<Quota>) -> Self {
        Self(rate.map(RateLimiter::hashmap))
    }

    /// Counts a request from `client`.
    pub fn check(&self, client: IpAddr) -> Result<(), ApiError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        // What counts as one client: an IPv4 address, or the /64 network of one IPv6 customer; while there are too many
        // of those, a provider's network.
        let (bits4, bits6) = if limiter.len() < Self::MAX_KEYS {
            (32, 64)
        } else {
            (16, 32)
        };
        let bits = if client.is_ipv4() { bits4 } else { bits6 };
        // Both lengths are valid for their family.
        let network = IpNet::new(client, bits).map_or(client, |client| client.network());
        limiter.check_key(&network).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            ApiError::plain(Code::RateLimited).with_retry_after(wait)
        })
    }

    /// Drops the keys of addresses that have been idle.
    pub fn sweep(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    /// Above this many keys, limit by /16 (IPv4) or /32 (IPv6), so that one client with many addresses can exhaust
    /// neither memory (about 10 MB) nor its limit.
    const MAX_KEYS: usize = 100_000;

    /// How often to call [`RateLimit::sweep`].
    pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn memory_is_bounded_for_a_client_with_many_addresses() {
        let limit = RateLimit::new(Some(Quota::per_second(NonZeroU32::MIN)));
        let address = |network: u128| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | network << 64));
        let refused = (0..150_000)
            .filter(|network| limit.check(address(*network)).is_err())
            .count();
        assert!(refused > 40_000, "the provider is limited as one: {refused}");
        assert!(limit.0.as_ref().unwrap().len() <= RateLimit::MAX_KEYS + 1);
        assert!(limit.check([192, 0, 2, 1].into()).is_ok(), "others are not");
    }
}
