//! Tokens in other systems' hands: who was given one, and whether one that comes back is ours.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::account::AccountCredentials;
use super::credential::{Credential, Trigger};
use super::renewal::Outcome;
use crate::secret::Secret;
use crate::store::keys;
use crate::wechat::TokenRejection;

/// How a token that a client sends relates to this account.
#[derive(Debug)]
pub(crate) enum Ours {
    /// It is in use.
    Current(Arc<Credential>),
    /// It was, and its life is not over yet.
    Older,
    /// Its life is over.
    Ended,
}

/// How much of a token's SHA-256 names it in the shared store: too much to be guessed.
const NAME_BYTES: usize = 16;

impl AccountCredentials {
    /// Notes that `client` was given `token`: in the journal once per client and token, and for the other replicas,
    /// so that they recognise it when it comes back. `from` is the address of a holder of the AppSecret.
    pub(crate) fn note_handed_out(self: &Arc<Self>, token: &Arc<Credential>, client: String, from: Option<IpAddr>) {
        let (account, token) = (Arc::clone(self), Arc::clone(token));
        self.tasks.spawn(async move {
            if account.mark_handed_out(&token, &client).await {
                account.reports.handed_out(&token, &client, from);
            }
        });
    }

    /// Marks `token` as handed out to `client`; true if that is to be noted in the journal.
    async fn mark_handed_out(&self, token: &Credential, client: &str) -> bool {
        let life = token.remaining();
        if life.is_zero() {
            return false;
        }
        let name = name(&token.value);
        // If the store fails here, a client gets a 40001 at worst, and the journal one more entry.
        let key = keys::handed_out(&self.app_id, &name);
        let _ = self.store.set_if_absent(&key, "handed out", life).await;
        let key = keys::handed_out_to(&self.app_id, &name, client);
        self.store.set_if_absent(&key, "told", life).await.unwrap_or(true)
    }

    /// Whether `token` is or was this account's, in this replica or another one.
    pub(crate) async fn recognise(&self, token: &Secret) -> Option<Ours> {
        if let Some(ours) = self.recognise_here(token) {
            return Some(ours);
        }
        let slot = &self.token.slot;
        let stored = slot.read_shared().await.ok().flatten();
        if stored.as_ref().is_some_and(|stored| stored.value == *token) {
            // Another replica has just obtained it.
            slot.adopt(Trigger::Expiring, stored.as_ref());
            return self.recognise_here(token).or(Some(Ours::Older));
        }
        let key = keys::handed_out(&self.app_id, &name(token));
        let mark = self.store.get(&key).await.ok().flatten();
        mark.map(|_| Ours::Older)
    }

    fn recognise_here(&self, token: &Secret) -> Option<Ours> {
        let slot = &self.token.slot;
        let held = slot.held().filter(|held| held.value == *token);
        let former = || slot.find_former(token);
        Some(match held {
            Some(held) if held.is_usable() => Ours::Current(held),
            None if former()?.is_usable() => Ours::Older,
            Some(_) | None => Ours::Ended,
        })
    }

    /// The token to use in place of `rejected`, which a client has used and WeChat has rejected; `None` if that token is
    /// none of ours. One that is in use is dropped as in [`AccountCredentials::with_token`], or probed first if the
    /// rejection is not certain.
    pub(crate) async fn replacement_for(&self, rejected: &Secret, rejection: &TokenRejection) -> Option<Outcome> {
        Some(match self.recognise(rejected).await? {
            Ours::Current(dead) if rejection.is_certain => self.token.replace_rejected(&dead, &rejection.error).await,
            Ours::Current(_) => self.verified_token().await,
            Ours::Older | Ours::Ended => self.token.get().await,
        })
    }
}

/// What names `token` in the shared store.
fn name(token: &Secret) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    hex::encode(&digest[..NAME_BYTES])
}
