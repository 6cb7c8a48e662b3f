//! The store of a gateway that runs alone: a map in this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

use crate::clock::Moment;

use super::{Claim, Entry, Health, SharedStore, StoreFuture, counts_as_none};

/// The entries of one stream, oldest first.
type Stream = VecDeque<Vec<(String, String)>>;

/// A [`SharedStore`] in this process. Its clock is tokio's, so a test can move it, but for suspensions.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<String, (String, Moment)>,
    streams: HashMap<String, Stream>,
    /// When expired entries are next removed.
    sweep_at: Option<Moment>,
}

/// How often expired entries are removed: rarely enough to cost nothing, often enough that the remembered uploads of
/// a busy gateway do not pile up.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

impl State {
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

    /// The value at `key`, unless it counts as none.
    fn made(&self, key: &str) -> Option<&str> {
        let (value, _) = self.live(key)?;
        Some(value.as_str()).filter(|value| !counts_as_none(value))
    }

    fn compare_and_set(&mut self, key: &str, expected: Option<&str>, value: &str, ttl: Duration) -> bool {
        let same = self.live(key).map(|(value, _)| value.as_str()) == expected;
        if same {
            self.write(key, value.to_owned(), ttl);
        }
        same
    }

    fn compare_and_delete(&mut self, key: &str, expected: &str) -> bool {
        let same = self.live(key).is_some_and(|(value, _)| value == expected);
        if same {
            self.values.remove(key);
        }
        same
    }
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic in the middle of a change, so the state behind a poisoned lock is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every operation is done at once; the future is there for the trait.
fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    std::future::ready(Ok(value)).boxed()
}

impl SharedStore for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        let entry = self.state().live(key).map(|(value, ends)| Entry {
            value: value.clone(),
            ttl: Some(ends.saturating_duration_since(Moment::now())),
        });
        ready(entry)
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        self.compare_and_set(key, None, value, ttl)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        let done = self.state().compare_and_set(key, expected, value, ttl);
        ready(done)
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: &'a str) -> StoreFuture<'a, bool> {
        let done = self.state().compare_and_delete(key, expected);
        ready(done)
    }

    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim> {
        let mut state = self.state();
        let made = state.made(key).map(|value| Claim::Made(value.to_owned()));
        ready(made.unwrap_or_else(|| {
            if state.compare_and_set(lock, None, owner, lock_ttl) {
                state.values.remove(key);
                Claim::Ours
            } else {
                Claim::Theirs
            }
        }))
    }

    fn increment<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, u64> {
        let mut state = self.state();
        let live = state.live(key).map(|(value, ends)| (value.parse().unwrap_or(0), *ends));
        let (count, ttl) = live.map_or((0, ttl), |(count, ends)| {
            (count, ends.saturating_duration_since(Moment::now()))
        });
        let count: u64 = count + 1;
        state.write(key, count.to_string(), ttl);
        ready(count)
    }

    fn append<'a>(&'a self, key: &'a str, fields: &'a [(&'static str, String)], cap: usize) -> StoreFuture<'a, ()> {
        let mut state = self.state();
        let stream = state.streams.entry(key.to_owned()).or_default();
        stream.push_back(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        );
        while stream.len() > cap {
            stream.pop_front();
        }
        ready(())
    }

    fn newest<'a>(&'a self, key: &'a str, count: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>> {
        let state = self.state();
        let entries = state
            .streams
            .get(key)
            .map(|stream| stream.iter().rev().take(count).cloned().collect());
        ready(entries.unwrap_or_default())
    }

    fn health(&self) -> Health {
        Health::good()
    }

    fn is_shared(&self) -> bool {
        false
    }
}
