//! One credential's place in the shared store.

use std::sync::Arc;

use tokio::time::Instant;

use super::credential::Credential;
use crate::secret::Secret;
use crate::store::{SharedStore, StoreError};

/// The key of one account's token or ticket in the shared store.
pub(super) struct Shelf {
    store: Arc<dyn SharedStore>,
    key: String,
}

/// What stands on a shelf.
pub(super) struct Standing {
    pub(super) value: Secret,
    /// When it ends; `None` where it is not to be used: blank, or without an end.
    pub(super) expires_at: Option<Instant>,
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn SharedStore>, key: String) -> Self {
        Self { store, key }
    }

    pub(super) async fn read(&self) -> Result<Option<Standing>, StoreError> {
        let standing = self.look().await?;
        let has_ended = |standing: &Standing| standing.expires_at.is_some_and(|end| end <= Instant::now());
        if standing.as_ref().is_some_and(has_ended) {
            // The store holds nothing that has ended: this process was frozen while it waited.
            return self.look().await;
        }
        Ok(standing)
    }

    async fn look(&self) -> Result<Option<Standing>, StoreError> {
        // Lives count from before the command: too short by its time, never too long.
        let asked_at = Instant::now();
        let entry = self.store.get(&self.key).await?;
        Ok(entry.map(|entry| {
            let value = Secret::new(entry.value);
            let expires_at = entry.ttl.filter(|_| !value.is_blank()).map(|ttl| asked_at + ttl);
            Standing { value, expires_at }
        }))
    }

    /// Puts `credential` in the place of `seen`; false where something else stands there by now.
    pub(super) async fn replace(&self, seen: Option<&Secret>, credential: &Credential) -> Result<bool, StoreError> {
        let (value, ttl) = (credential.value.expose(), credential.remaining());
        if ttl.is_zero() {
            return Ok(true);
        }
        self.store
            .compare_and_set(&self.key, seen.map(Secret::expose), value, ttl)
            .await
    }

    /// Takes `value` off, if it is still what stands there.
    pub(super) async fn discard(&self, value: &Secret) -> Result<bool, StoreError> {
        self.store.compare_and_delete(&self.key, value.expose()).await
    }
}
