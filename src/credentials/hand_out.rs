//! Tokens that other systems hold: the lifetime promised with each, and whether a token that a client sends is ours.
//!
//! A client may keep a token for the lifetime that it was promised (`expires_in`). For that time every replica recognises
//! the token, even if it has been superseded, rejected or has expired, so that calls with it get the current one. After
//! that it is an unknown token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::account::AccountCredentials;
use super::credential::{Credential, Trigger, name_in_store};
use super::renewal::CredentialResult;
use super::slot::NotShared;
use crate::clock::Moment;
use crate::secret::Secret;
use crate::store::{StoreError, keys};
use crate::wechat::TokenRejection;

/// How a token that a client sends relates to this account.
#[derive(Debug)]
pub(crate) enum Recognised {
    /// It is in use here.
    Current(Arc<Credential>),
    /// The replicas share it now, but it is not in use here.
    Shared,
    /// It was in use, and the lifetime promised to clients is not over.
    Former,
}

/// The maximum number of attempts to write a mark while other replicas write it too.
const ATTEMPTS: usize = 3;

const ASKED: &str = "asked";
/// The maximum time to find out whether another replica gave a client its token.
const ASKED_LIMIT: Duration = Duration::from_millis(250);

impl AccountCredentials {
    /// The lifetime to promise with `token`: at least `min_lifetime`. All replicas recognise the token for that long.
    pub(crate) fn promise_lifetime(self: &Arc<Self>, token: &Credential, min_lifetime: Duration) -> Duration {
        // Some caches treat 0 as "never expires".
        let least = min_lifetime.max(Duration::from_secs(1));
        let now = Moment::now();
        let lifetime = token.expires_at.saturating_duration_since(now).max(least);
        let (name, account) = (name_in_store(&token.value), Arc::clone(self));
        self.promises.extend(&name, now + lifetime);
        if let Some(until) = self.promises.unshared(&name) {
            self.tasks.spawn(async move {
                // If the store fails here, the mark is written when the next client gets the token.
                if account.share_promise(&name, until).await.is_ok() {
                    account.promises.learn(&name, until);
                }
            });
        }
        lifetime
    }

    /// Notes in the journal that `client` was given `token`, once per client and token for all replicas. `from` is the
    /// address of a holder of the AppSecret.
    pub(crate) fn note_handed_out(self: &Arc<Self>, token: &Arc<Credential>, client: String, from: Option<IpAddr>) {
        let (account, token) = (Arc::clone(self), Arc::clone(token));
        self.tasks.spawn(async move {
            let key = keys::HANDED_OUT_TO.of_client(&account.app_id, &name_in_store(&token.value), &client);
            let lifetime = token.remaining();
            if lifetime.is_zero() {
                return;
            }
            let is_new = account.store.set_if_absent(&key, "told", lifetime).await;
            // If the store fails here, the journal has one more entry.
            if is_new.unwrap_or(true) {
                account.reports.handed_out(&token, &client, from);
            }
        });
    }

    /// Notes for all replicas that `client` is given `token`.
    pub(crate) fn note_asked(self: &Arc<Self>, token: &Credential, client: &str) {
        let key = keys::TOKEN_ASKED.of_client(&self.app_id, &name_in_store(&token.value), client);
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            // If the store fails here, a repeated request to another replica goes unnoticed.
            if let Ok(false) = store.set_if_absent(&key, ASKED, keys::TOKEN_ASKED_TTL).await {
                let renewed = store.compare_and_set(&key, Some(ASKED), ASKED, keys::TOKEN_ASKED_TTL);
                let _ = renewed.await;
            }
        });
    }

    /// True if any replica gave `client` this token within the last minute, as far as the shared store knows. A store that
    /// does not answer hardly delays the client.
    pub(crate) async fn was_asked(&self, token: &Credential, client: &str) -> bool {
        let key = keys::TOKEN_ASKED.of_client(&self.app_id, &name_in_store(&token.value), client);
        matches!(timeout(ASKED_LIMIT, self.store.get(&key)).await, Ok(Ok(Some(_))))
    }

    /// Marks the token with this name in the shared store for its promised lifetime. A mark with a longer TTL is kept.
    async fn share_promise(&self, name: &str, until: Moment) -> Result<(), StoreError> {
        let key = keys::HANDED_OUT.of_token(&self.app_id, name);
        for _ in 0..ATTEMPTS {
            let left = until.saturating_duration_since(Moment::now());
            // Each mark is different, so that the compare-and-set fails if another replica has written a longer one.
            let mark = format!("until {}", humantime::format_rfc3339_micros(SystemTime::now() + left));
            let is_done = match self.store.get(&key).await? {
                _ if left.is_zero() => true,
                None => self.store.set_if_absent(&key, &mark, left).await?,
                Some(entry) if entry.ttl.is_none_or(|ttl| ttl >= left) => true,
                Some(entry) => {
                    let seen = Some(entry.value.as_str());
                    self.store.compare_and_set(&key, seen, &mark, left).await?
                }
            };
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// Writes the marks of all tokens that this replica recognises again, since the shared store may have lost its data.
    pub(crate) async fn mark_again(&self) -> Result<(), StoreError> {
        let known = self.token.slot.unexpired().into_iter();
        let known = known.map(|token| (name_in_store(&token.value), token.expires_at));
        for (name, until) in known.chain(self.promises.unexpired()) {
            self.share_promise(&name, until).await?;
        }
        Ok(())
    }

    /// Whether `token` is this account's, as far as this replica knows.
    pub(crate) fn recognise_here(&self, token: &Secret) -> Option<Recognised> {
        let slot = &self.token.slot;
        if let Some(held) = slot.usable().filter(|held| held.value == *token) {
            return Some(Recognised::Current(held));
        }
        let is_alive = slot.history.find(token).is_some_and(|former| former.is_usable());
        (is_alive || self.promises.is_alive(&name_in_store(token))).then_some(Recognised::Former)
    }

    /// Whether another replica knows `token`, which is not recognised here, as this account's. An error means that this
    /// is unknown.
    pub(crate) async fn recognise_elsewhere(&self, token: &Secret) -> Result<Option<Recognised>, StoreError> {
        let slot = &self.token.slot;
        let stored = match slot.shared.read().await {
            Ok(stored) => stored,
            // Another program's value can replace this entry, but not the marks, which have other keys.
            Err(NotShared::Foreign(_)) => None,
            Err(NotShared::Down(error)) => return Err(error),
        };
        if stored.as_ref().is_some_and(|stored| stored.value == *token) {
            // Another replica has just obtained it.
            slot.adopt(Trigger::Expiring, stored.as_ref());
            return Ok(self.recognise_here(token).or(Some(Recognised::Shared)));
        }
        let name = name_in_store(token);
        let asked_at = Moment::now();
        let mark = self.store.get(&keys::HANDED_OUT.of_token(&self.app_id, &name)).await?;
        Ok(mark.and_then(|mark| mark.ttl).map(|lifetime| {
            // Remembered, so that the token is recognised during an outage of the store too.
            self.promises.learn(&name, asked_at + lifetime);
            Recognised::Former
        }))
    }

    /// The token to use instead of one of ours that WeChat has rejected in a call of `path`: the same one if a probe finds
    /// it good.
    pub(crate) async fn token_after_rejection(
        &self,
        ours: &Recognised,
        path: &str,
        rejection: TokenRejection,
    ) -> CredentialResult {
        match ours {
            Recognised::Current(token) => self.probe.token_after_rejection(token, path, rejection).await,
            Recognised::Shared | Recognised::Former => self.token.get().await,
        }
    }
}
