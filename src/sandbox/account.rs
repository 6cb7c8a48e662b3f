//! One account: its credentials, media and quotas.

use std::collections::HashMap;

use super::api::Api;
use super::clock::Clock;
use super::config::{SandboxAccount, SandboxConfig};
use super::media::Media;
use super::tickets::Tickets;
use super::tokens::Tokens;

/// An account and everything that WeChat keeps for it.
pub(super) struct Account {
    pub(super) config: SandboxAccount,
    pub(super) tokens: Tokens,
    pub(super) tickets: Tickets,
    pub(super) media: Media,
    pub(super) quotas: Quotas,
}

/// Calls made today, by API, and how often the counters were reset this month.
#[derive(Default)]
pub(super) struct Quotas {
    day: u64,
    used: HashMap<Api, u64>,
    cleared: (String, u64),
}

/// How often the counters may be reset per month.
const CLEARS_PER_MONTH: u64 = 10;

impl Account {
    pub(super) fn new(config: SandboxAccount) -> Self {
        Self {
            config,
            tokens: Tokens::default(),
            tickets: Tickets::default(),
            media: Media::default(),
            quotas: Quotas::default(),
        }
    }
}

impl Quotas {
    /// Counts a call; false if the day's quota is used up.
    pub(super) fn spend(&mut self, api: Api, rules: &SandboxConfig, clock: &Clock) -> bool {
        self.begin_day(clock);
        let used = self.used.entry(api).or_default();
        let left = *used < rules.daily_limit(api);
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
