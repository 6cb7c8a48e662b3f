//! The store as one replica reaches it, watched for newer tokens overwritten by older ones.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::gate::Gate;
use super::world::{World, number};
use crate::store::{Claim, Entry, Health, MemoryStore, SharedStore, StoreError, StoreFault, StoreFuture};

pub(super) const TOKEN_KEY: &str = "token";

pub(super) struct SimulatedStore {
    pub(super) world: Arc<World>,
    pub(super) gate: Arc<Gate>,
}

impl SimulatedStore {
    /// Reaches the store, or fails to.
    async fn reach(&self) -> Result<Arc<MemoryStore>, StoreError> {
        self.gate.pass().await;
        self.world.store_latency().await;
        if self.gate.is_cut_off() || self.world.is_store_down() {
            return Err(StoreError::new(StoreFault::Unreachable, "simulated", ""));
        }
        Ok(self.world.store())
    }
}

impl SharedStore for SimulatedStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        async move { self.reach().await?.get(key).await }.boxed()
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        async move { self.reach().await?.set_if_absent(key, value, ttl).await }.boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        async move {
            let store = self.reach().await?;
            let written = store.compare_and_set(key, expected, value, ttl).await?;
            if let Some(before) = expected.filter(|_| written && key == TOKEN_KEY)
                && number(before) > number(value)
            {
                self.world.note_violation(format!("{value} was written over {before}"));
            }
            Ok(written)
        }
        .boxed()
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: &'a str) -> StoreFuture<'a, bool> {
        async move { self.reach().await?.compare_and_delete(key, expected).await }.boxed()
    }

    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim> {
        async move { self.reach().await?.claim(key, lock, owner, lock_ttl).await }.boxed()
    }

    fn increment<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, u64> {
        async move { self.reach().await?.increment(key, ttl).await }.boxed()
    }

    fn append<'a>(&'a self, key: &'a str, fields: &'a [(&'static str, String)], cap: usize) -> StoreFuture<'a, ()> {
        async move { self.reach().await?.append(key, fields, cap).await }.boxed()
    }

    fn newest<'a>(&'a self, key: &'a str, count: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>> {
        async move { self.reach().await?.newest(key, count).await }.boxed()
    }

    fn health(&self) -> Health {
        self.world.store().health()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
