//! Requests per second and client address, in this process.

use std::net::IpAddr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter, state::keyed::HashMapStateStore};

use super::client_address::limited_unit;
use super::code::Code;
use super::envelope::ApiError;
use crate::settings::Rate;

/// One route's limit; `None` inside where it is off.
pub struct RateLimit(Option<RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>>);

impl RateLimit {
    /// The limit at `rate`; none where that is `None`.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| RateLimiter::hashmap(Quota::per_second(rate.per_second).allow_burst(rate.burst))))
    }

    /// Counts a request from `client`.
    pub fn check(&self, client: IpAddr) -> Result<(), ApiError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&limited_unit(client)).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            ApiError::plain(Code::RateLimited).with_retry_after(wait)
        })
    }

    /// Forgets the addresses that have been quiet, so that their number stays that of the active ones.
    pub fn sweep(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    /// How often [`RateLimit::sweep`] is worth calling.
    pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
}
