//! The handle with which tests in the same process, and the control API, inspect and control a sandbox.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::account::{AccountRecord, Tickets};
use super::api::Api;
use super::config::SandboxConfig;
use super::fault::Rule;
use super::media::Upload;
use super::state::{CallRecord, LockedState};
use super::tokens::{Kill, TokenKind};
use super::verify::ConfigResult;
use crate::account::AppId;
use crate::secret::Secret;

/// A handle to a sandbox, cheap to clone, to inspect and control it.
#[derive(Clone)]
pub struct Sandbox {
    config: Arc<SandboxConfig>,
    state: Arc<Mutex<LockedState>>,
}

/// No such account in this sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox has no such account")]
pub struct UnknownAccount;

impl Sandbox {
    /// A new sandbox.
    pub fn new(config: SandboxConfig) -> Self {
        let config = Arc::new(config.within_reason());
        let state = LockedState::new(Arc::clone(&config));
        Self {
            config,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The configuration that it was created with.
    pub fn config(&self) -> &SandboxConfig {
        &self.config
    }

    /// Adds a rule after those in force; returns its number.
    pub fn inject(&self, rule: impl Into<Rule>) -> u64 {
        self.state().rules.add(rule.into())
    }

    /// Removes a rule and releases what it holds; false if there is no such rule.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.state().rules.remove(id)
    }

    /// Removes all rules and releases what they hold.
    pub fn clear_faults(&self) {
        self.state().rules.clear();
    }

    /// How many calls of `api` have arrived, successful or not.
    pub fn calls(&self, api: Api) -> u64 {
        self.state().calls(api, None)
    }

    /// How many of them were about this account.
    pub fn calls_for(&self, app_id: &AppId, api: Api) -> u64 {
        self.state().calls(api, Some(app_id))
    }

    /// The most recently answered calls, oldest first.
    pub fn log(&self) -> Vec<CallRecord> {
        self.state().log.iter().cloned().collect()
    }

    /// The account's newest token of this kind, if it is valid.
    pub fn current_token(&self, app_id: &AppId, kind: TokenKind) -> Option<Secret> {
        let issued = self.with_account(app_id, |account, _, now| account.tokens.current(kind, now));
        issued.ok().flatten().map(|issued| issued.token)
    }

    /// The account's newest `jsapi` ticket, if there is one that verifies.
    pub fn current_ticket(&self, app_id: &AppId) -> Option<Secret> {
        let ticket = self.with_account(app_id, |account, config, now| {
            let mut unexpired = account.jsapi_tickets.unexpired(config.ticket_ttl, now);
            unexpired.next().map(|(ticket, _)| ticket.clone())
        });
        ticket.ok().flatten()
    }

    /// Simulates another system that fetches a classic token, which supersedes the current one. It does not count as a call.
    pub fn foreign_token(&self, app_id: &AppId) -> Result<Secret, UnknownAccount> {
        self.with_account(app_id, |account, config, now| account.tokens.classic(config, now).token)
    }

    /// Invalidates the account's valid tokens, including those in their overlap.
    pub fn kill_token(&self, app_id: &AppId, kill: Kill) -> Result<(), UnknownAccount> {
        self.with_account(app_id, |account, _, now| account.tokens.kill(kill, now))
    }

    /// Invalidates the account's tickets: none issued so far verifies any more.
    pub fn kill_tickets(&self, app_id: &AppId) -> Result<(), UnknownAccount> {
        self.with_account(app_id, |account, _, _| {
            account.jsapi_tickets = Tickets::default();
            account.wx_card_tickets = Tickets::default();
        })
    }

    /// Simulates a user who uploads a file of any kind; returns its media id.
    pub fn upload_media(&self, app_id: &AppId, upload: Upload) -> Result<String, UnknownAccount> {
        self.with_account(app_id, |account, config, now| account.media.add(upload, config, now))
    }

    /// The WeChat app's answer to a page's `wx.config`. `config` contains `appId`, `timestamp`, `nonceStr`, `signature`
    /// and the page's `url`.
    pub fn verify(&self, config: &Map<String, Value>) -> ConfigResult {
        self.state().wechat.verify(config)
    }

    /// Moves the sandbox's own clock forward.
    pub fn advance(&self, by: Duration) {
        self.state().wechat.clock.advance(by);
    }

    /// The sandbox's time, in seconds since 1970.
    pub fn unix_time(&self) -> u64 {
        self.state().wechat.clock.unix()
    }

    /// Clears everything: credentials, media, counts, faults, the log, the clock's advance.
    pub fn reset(&self) {
        *self.state() = LockedState::new(Arc::clone(&self.config));
    }

    fn with_account<T>(
        &self,
        app_id: &AppId,
        act: impl FnOnce(&mut AccountRecord, &SandboxConfig, Instant) -> T,
    ) -> Result<T, UnknownAccount> {
        let mut state = self.state();
        let now = state.wechat.clock.now();
        let account = state.wechat.account(app_id.as_str()).ok_or(UnknownAccount)?;
        Ok(act(account, &self.config, now))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LockedState> {
        self.state.lock()
    }
}
