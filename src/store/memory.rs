//! A map in this process: the store of a gateway that runs alone, and what a replica remembers while Redis fails.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Moment;

use super::{Claimed, Entry, Health, SharedStore, StoreError, counts_as_none};

/// The entries of one stream, oldest first.
type Stream = VecDeque<Vec<(String, String)>>;

/// A [`SharedStore`] in this process. Its clock is tokio's plus the time that the machine was suspended, so tests can
/// control it.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    values: HashMap<String, (String, Moment)>,
    streams: HashMap<String, Stream>,
    /// When expired entries are next removed.
    sweep_at: Option<Moment>,
}

/// How often expired entries are removed: rarely enough to cost nothing, often enough that the remembered uploads of a
/// busy gateway do not pile up.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

impl Contents {
    fn live(&self, key: &str) -> Option<&(String, Moment)> {
        self.values.get(key).filter(|(_, ends)| *ends > Moment::now())
    }

    fn write(&mut self, key: &str, value: String, ttl: Duration) {
        let now = Moment::now();
        if self.sweep_at.is_none_or(|at| at <= now) {
            self.values.retain(|_, (_, ends)| *ends > now);
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
        self.values.insert(key.to_owned(), (value, now + ttl));
    }

    fn compare_and_set(&mut self, key: &str, expected: Option<&str>, value: &str, ttl: Duration) -> bool {
        let same = self.live(key).map(|(value, _)| value.as_str()) == expected;
        if same {
            self.write(key, value.to_owned(), ttl);
        }
        same
    }
}

#[async_trait]
impl SharedStore for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.state.lock().live(key).map(|(value, ends)| Entry {
            value: value.clone(),
            ttl: Some(ends.saturating_duration_since(Moment::now())),
        }))
    }

    async fn set_if_absent(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.state.lock().compare_and_set(key, None, value, ttl))
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.state.lock().compare_and_set(key, expected, value, ttl))
    }

    async fn compare_and_delete(&self, key: &str, expected: &str) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let same = state.live(key).is_some_and(|(value, _)| value == expected);
        if same {
            state.values.remove(key);
        }
        Ok(same)
    }

    async fn claim(&self, key: &str, lock: &str, owner: &str, lock_ttl: Duration) -> Result<Claimed, StoreError> {
        let mut state = self.state.lock();
        if let Some((value, _)) = state.live(key).filter(|(value, _)| !counts_as_none(value)) {
            return Ok(Claimed::Exists(value.clone()));
        }
        if !state.compare_and_set(lock, None, owner, lock_ttl) {
            return Ok(Claimed::Theirs);
        }
        state.values.remove(key);
        Ok(Claimed::Ours)
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let (count, ttl) = state.live(key).map_or((0, ttl), |(value, ends)| {
            let left = ends.saturating_duration_since(Moment::now());
            (value.parse().unwrap_or(0), left)
        });
        let count: u64 = count + 1;
        state.write(key, count.to_string(), ttl);
        Ok(count)
    }

    async fn append(&self, key: &str, fields: &[(&'static str, String)], cap: usize) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let stream = state.streams.entry(key.to_owned()).or_default();
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        stream.push_back(fields.collect());
        while stream.len() > cap {
            stream.pop_front();
        }
        Ok(())
    }

    async fn newest(&self, key: &str, count: usize) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        let state = self.state.lock();
        let entries = state.streams.get(key).into_iter().flatten();
        Ok(entries.rev().take(count).cloned().collect())
    }

    fn health(&self) -> Health {
        Health {
            error: None,
            since: Instant::now(),
        }
    }

    fn is_shared(&self) -> bool {
        false
    }
}
