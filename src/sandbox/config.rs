//! The configuration of a sandbox.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::api::Api;
use crate::account::AppId;
use crate::jssdk::JsDomain;
use crate::secret::Secret;

/// A sandbox's accounts and rules. The defaults are WeChat's own numbers, with one account. Lifetimes are limited to
/// between one second and ten years.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The accounts; a phone that names none uses the first.
    pub accounts: Vec<SandboxAccount>,
    /// The lifetime of a token.
    pub token_ttl: Duration,
    /// How long a classic token stays valid after its successor is issued, and how long before it expires a stable one
    /// is replaced. By default 5 minutes, but at most a quarter of `token_ttl`.
    pub token_overlap: Option<Duration>,
    /// The `expires_in` of a ticket: it is replaced after this time and verifies for twice as long.
    pub ticket_ttl: Duration,
    /// How long a media id is valid.
    pub media_ttl: Duration,
    /// How many bytes of media are kept; above that the oldest are dropped.
    pub media_capacity: usize,
    /// Calls per API, account and day; for an API not listed, WeChat's documented number.
    pub daily_calls: BTreeMap<Api, u64>,
    /// Minimum time between two tokens by `force_refresh`.
    pub force_refresh_interval: Duration,
    /// Tokens by `force_refresh` per account and day.
    pub daily_force_refreshes: u64,
    /// The addresses that may fetch tokens; all if empty.
    pub allowed_ips: Vec<IpAddr>,
}

/// One account of a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxAccount {
    /// Its AppID.
    pub app_id: AppId,
    /// Its AppSecret.
    pub secret: Secret,
    /// The domains whose pages pass `wx.config`; all if empty, as with a test account.
    pub js_domains: Vec<JsDomain>,
}

impl SandboxConfig {
    /// WeChat's rules, with these accounts.
    pub fn with_accounts(accounts: Vec<SandboxAccount>) -> Self {
        Self {
            accounts,
            token_ttl: Duration::from_hours(2),
            token_overlap: None,
            ticket_ttl: Duration::from_hours(2),
            media_ttl: Duration::from_hours(72),
            media_capacity: 512 * 1024 * 1024,
            daily_calls: BTreeMap::new(),
            force_refresh_interval: Duration::from_secs(30),
            daily_force_refreshes: 20,
            allowed_ips: Vec::new(),
        }
    }

    /// The same configuration with every lifetime between one second and ten years, so that no sum overflows.
    pub(super) fn within_reason(mut self) -> Self {
        const MAX: Duration = Duration::from_hours(87840);
        for lifetime in [&mut self.token_ttl, &mut self.ticket_ttl, &mut self.media_ttl] {
            *lifetime = (*lifetime).clamp(Duration::from_secs(1), MAX);
        }
        self.token_overlap = self.token_overlap.map(|overlap| overlap.min(MAX));
        self.force_refresh_interval = self.force_refresh_interval.min(MAX);
        self
    }

    pub(super) fn overlap(&self) -> Duration {
        self.token_overlap
            .unwrap_or_else(|| Duration::from_mins(5).min(self.token_ttl / 4))
    }

    pub(super) fn daily_limit(&self, api: Api) -> u64 {
        let listed = self.daily_calls.get(&api).copied();
        listed.unwrap_or(api.documented_daily_limit())
    }
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self::with_accounts(vec![SandboxAccount::default()])
    }
}

impl SandboxAccount {
    /// An account whose pages may be on any domain.
    pub fn new(app_id: AppId, secret: Secret) -> Self {
        Self {
            app_id,
            secret,
            js_domains: Vec::new(),
        }
    }
}

impl Default for SandboxAccount {
    /// The account of a sandbox without configured accounts. Its AppSecret is public.
    fn default() -> Self {
        // The text is a valid AppID; an empty one would only make every call fail.
        let app_id = AppId::try_from("wx5a4db0c0ffee0001".to_owned()).unwrap_or_default();
        Self::new(app_id, Secret::new("0123456789abcdef0123456789abcdef"))
    }
}
