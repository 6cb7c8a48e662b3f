//! The store as one replica reaches it; notices newer tokens overwritten by older ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::replica::Outside;
use super::world::number;
use crate::store::{Claimed, Entry, Health, MemoryStore, SharedStore, StoreError, StoreFault};

pub(super) const TOKEN_KEY: &str = "weChat_client_credential:access_token:wx1";

impl Outside {
    /// Reaches the store, or fails to.
    async fn reach(&self) -> Result<Arc<MemoryStore>, StoreError> {
        self.gate.pass().await;
        self.world.latency(0..5).await;
        if self.gate.is_cut_off() || self.world.is_store_down() {
            return Err(StoreError::new(StoreFault::Unreachable, "simulated", ""));
        }
        Ok(self.world.store())
    }
}

#[async_trait]
impl SharedStore for Outside {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.reach().await?.get(key).await
    }

    async fn set_if_absent(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, StoreError> {
        self.reach().await?.set_if_absent(key, value, ttl).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let store = self.reach().await?;
        let written = store.compare_and_set(key, expected, value, ttl).await?;
        if let Some(before) = expected.filter(|_| written && key == TOKEN_KEY)
            && number(before) > number(value)
        {
            self.world.note_violation(format!("{value} was written over {before}"));
        }
        Ok(written)
    }

    async fn compare_and_delete(&self, key: &str, expected: &str) -> Result<bool, StoreError> {
        self.reach().await?.compare_and_delete(key, expected).await
    }

    async fn claim(&self, key: &str, lock: &str, owner: &str, lock_ttl: Duration) -> Result<Claimed, StoreError> {
        self.reach().await?.claim(key, lock, owner, lock_ttl).await
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, StoreError> {
        self.reach().await?.increment(key, ttl).await
    }

    async fn append(&self, key: &str, fields: &[(&'static str, String)], cap: usize) -> Result<(), StoreError> {
        self.reach().await?.append(key, fields, cap).await
    }

    async fn newest(&self, key: &str, count: usize) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        self.reach().await?.newest(key, count).await
    }

    fn health(&self) -> Health {
        self.world.store().health()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
