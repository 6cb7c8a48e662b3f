//! One account: its credentials, media and quotas.
//!
//! WeChat does not publish how tickets are replaced. The rules here match all reports: a ticket is returned for its TTL,
//! always with the whole TTL as `expires_in`, and verifies for twice as long, independently of the access tokens.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::api::Api;
use super::clock::Clock;
use super::config::{SandboxAccount, SandboxConfig};
use super::media::MediaFiles;
use super::random;
use super::tokens::Tokens;
use crate::secret::Secret;

/// An account and everything that WeChat keeps for it.
#[derive(Default)]
pub(super) struct AccountRecord {
    pub(super) config: SandboxAccount,
    pub(super) tokens: Tokens,
    /// For `wx.config`.
    pub(super) jsapi_tickets: Tickets,
    pub(super) wx_card_tickets: Tickets,
    pub(super) media: MediaFiles,
    pub(super) quotas: Quotas,
}

/// Calls made today, by API, and how often the counters were reset this month.
#[derive(Default)]
pub(super) struct Quotas {
    day: u64,
    used: HashMap<Api, u64>,
    /// The month of the last reset, and how many resets it has had.
    cleared: (String, u64),
}

/// How often the counters may be reset per month.
const CLEARS_PER_MONTH: u64 = 10;

impl Quotas {
    /// Counts a call; false if the day's quota is used up.
    pub(super) fn spend(&mut self, api: Api, config: &SandboxConfig, clock: &Clock) -> bool {
        self.begin_day(clock);
        let used = self.used.entry(api).or_default();
        let left = *used < config.daily_limit(api);
        *used += u64::from(left);
        left
    }

    pub(super) fn used(&mut self, api: Api, clock: &Clock) -> u64 {
        self.begin_day(clock);
        self.used.get(&api).copied().unwrap_or_default()
    }

    /// Resets all counters; false if that was done too often this month.
    pub(super) fn clear(&mut self, clock: &Clock) -> bool {
        let month = clock.month();
        let times = if self.cleared.0 == month { self.cleared.1 } else { 0 };
        if times >= CLEARS_PER_MONTH {
            return false;
        }
        self.cleared = (month, times + 1);
        self.used.clear();
        true
    }

    fn begin_day(&mut self, clock: &Clock) {
        if self.day != clock.day() {
            self.day = clock.day();
            self.used.clear();
        }
    }
}

/// Every ticket of one kind that still verifies, newest first.
#[derive(Default)]
pub(super) struct Tickets(VecDeque<TicketRecord>);

struct TicketRecord {
    value: Secret,
    born: Instant,
}

impl Tickets {
    /// `GET /cgi-bin/ticket/getticket`.
    pub(super) fn get(&mut self, ttl: Duration, now: Instant) -> Secret {
        self.0.retain(|ticket| now < ticket.born + 2 * ttl);
        if let Some(current) = self.0.front().filter(|ticket| now < ticket.born + ttl) {
            return current.value.clone();
        }
        // As long as WeChat's.
        let value = Secret::new(random::text(86));
        self.0.push_front(TicketRecord {
            value: value.clone(),
            born: now,
        });
        value
    }

    /// The tickets that still verify, with their remaining lifetimes, newest first.
    pub(super) fn unexpired(&self, ttl: Duration, now: Instant) -> impl Iterator<Item = (&Secret, Duration)> {
        self.0
            .iter()
            .map(move |ticket| (&ticket.value, (ticket.born + 2 * ttl).saturating_duration_since(now)))
            .filter(|(_, left)| !left.is_zero())
    }
}
