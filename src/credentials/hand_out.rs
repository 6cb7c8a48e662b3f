//! Tokens in other systems' hands: who was given one, and whether one that comes back is ours.

use std::net::IpAddr;
use std::sync::Arc;

use super::account::AccountCredentials;
use super::credential::{Credential, Trigger, name_in_store};
use super::renewal::Outcome;
use crate::secret::Secret;
use crate::store::keys;
use crate::wechat::CallError;

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
        // Those that this gateway has issued are marked already; this is for those of an older service.
        self.token.mark_as_ours(token).await;
        let key = keys::handed_out_to(&self.app_id, &name_in_store(&token.value), client);
        // If the store fails here, the journal gets one more entry.
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
        let key = keys::handed_out(&self.app_id, &name_in_store(token));
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

    /// The token to use in place of `rejected`, which a client has used and WeChat has rejected with `error`; `None`
    /// if that token is none of ours. One that is in use is dropped as in [`AccountCredentials::with_token`].
    pub(crate) async fn replacement_for(&self, rejected: &Secret, error: &CallError) -> Option<Outcome> {
        Some(match self.recognise(rejected).await? {
            Ours::Current(dead) => self.token.replace_rejected(&dead, error).await,
            Ours::Older | Ours::Ended => self.token.get().await,
        })
    }
}
