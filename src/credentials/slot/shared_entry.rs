//! One credential's entry in the shared store.

use std::sync::Arc;

use tokio::time::Instant;

use crate::credentials::credential::Credential;
use crate::secret::Secret;
use crate::store::{SharedStore, StoreError};

/// The entry of one account's token or ticket in the shared store.
pub(crate) struct SharedEntry {
    store: Arc<dyn SharedStore>,
    key: String,
}

pub(crate) struct Stored {
    pub(crate) value: Secret,
    /// When it ends; `None` if it is not to be used: blank, or without an end.
    pub(crate) expires_at: Option<Instant>,
}

impl SharedEntry {
    pub(crate) fn new(store: Arc<dyn SharedStore>, key: String) -> Self {
        Self { store, key }
    }

    pub(crate) async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let stored = self.read_once().await?;
        let has_ended = |stored: &Stored| stored.expires_at.is_some_and(|end| end <= Instant::now());
        if stored.as_ref().is_some_and(has_ended) {
            // The store holds nothing that has ended: this process was frozen while it waited.
            return self.read_once().await;
        }
        Ok(stored)
    }

    async fn read_once(&self) -> Result<Option<Stored>, StoreError> {
        // Lives count from before the command: too short by its time, never too long.
        let asked_at = Instant::now();
        let entry = self.store.get(&self.key).await?;
        Ok(entry.map(|entry| {
            let value = Secret::new(entry.value);
            let expires_at = entry.ttl.filter(|_| !value.is_blank()).map(|ttl| asked_at + ttl);
            Stored { value, expires_at }
        }))
    }

    /// Compare-and-set: replaces `seen` by `credential`; false if something else is stored by now.
    pub(crate) async fn replace(&self, seen: Option<&Secret>, credential: &Credential) -> Result<bool, StoreError> {
        let (value, ttl) = (credential.value.expose(), credential.remaining());
        if ttl.is_zero() {
            return Ok(true);
        }
        self.store
            .compare_and_set(&self.key, seen.map(Secret::expose), value, ttl)
            .await
    }

    /// Removes `value`, if it is still what is stored.
    pub(crate) async fn remove(&self, value: &Secret) -> Result<bool, StoreError> {
        self.store.compare_and_delete(&self.key, value.expose()).await
    }
}
