//! The token in other systems' hands: who was given it, and whether one that comes back is ours.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::account::{AccountCredentials, Outcome};
use super::credential::Credential;
use super::renewal::Trigger;
use crate::secret::Secret;
use crate::store::keys;
use crate::wechat::CallError;

/// How a token that somebody sends stands to this account.
#[derive(Debug)]
pub enum Ours {
    /// It is in use.
    Current(Arc<Credential>),
    /// It was, and its life is not over yet.
    Older,
    /// Its life is over.
    Ended,
}

/// How much of a token's SHA-256 names it in the shared store: too much to be hit upon by trying.
const NAME_BYTES: usize = 16;

impl AccountCredentials {
    /// Notes that `client` was given `token`: in the journal once per client and token, and for the
    /// other replicas, so that they know it as ours when it comes back. `reason` is for people.
    pub fn note_handed_out(self: &Arc<Self>, token: &Arc<Credential>, client: String, reason: String) {
        let (account, token) = (Arc::clone(self), Arc::clone(token));
        self.tasks.spawn(async move {
            let (app_id, life) = (&account.app_id, token.remaining());
            if life.is_zero() {
                return;
            }
            let name = name(&token.value);
            // A store that fails here costs a client a 40001 at the worst, and a line in the journal.
            let key = keys::handed_out(app_id, &name);
            let _ = account.store.set_if_absent(&key, "handed out", life).await;
            let key = keys::handed_out_to(app_id, &name, &client);
            let told = account.store.set_if_absent(&key, "told", life).await;
            if told.unwrap_or(true) {
                account
                    .journal
                    .note_handed_out(app_id, &token.fingerprint, &client, &reason);
            }
        });
    }

    /// Whether `token` is or was this account's, in this replica or another one.
    pub async fn recognise(&self, token: &Secret) -> Option<Ours> {
        if let Some(ours) = self.recognise_here(token) {
            return Some(ours);
        }
        let standing = self.token.shelf.read().await.ok().flatten();
        if standing.as_ref().is_some_and(|standing| standing.value == *token) {
            // Another replica has just got it.
            self.adopt(&self.token, Trigger::Expiring, standing.as_ref());
            return self.recognise_here(token).or(Some(Ours::Older));
        }
        let mark = self
            .store
            .get(&keys::handed_out(&self.app_id, &name(token)))
            .await
            .ok()
            .flatten();
        mark.map(|_| Ours::Older)
    }

    fn recognise_here(&self, token: &Secret) -> Option<Ours> {
        let held = self.token.cell.held().filter(|held| held.value == *token);
        let gone = || self.token.past.find(token);
        Some(match held {
            Some(held) if held.is_usable() => Ours::Current(held),
            None if gone()?.is_usable() => Ours::Older,
            Some(_) | None => Ours::Ended,
        })
    }

    /// The token to use in place of `rejected`, which a client has used and WeChat has rejected with
    /// `error`; `None` where that token is none of ours. One that is in use is dropped as in
    /// [`AccountCredentials::with_token`].
    pub async fn in_place_of(self: &Arc<Self>, rejected: &Secret, error: &CallError) -> Option<Outcome> {
        Some(match self.recognise(rejected).await? {
            Ours::Current(dead) => self.replace_rejected(&dead, error).await,
            Ours::Older | Ours::Ended => self.token().await,
        })
    }
}

/// What names `token` in the shared store.
fn name(token: &Secret) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    hex::encode(&digest[..NAME_BYTES])
}
