//! What all replicas of a gateway share: a small key-value store, in Redis or in this process.
//!
//! Everything that is built on it (credentials, their lock, remembered uploads, the journal) needs
//! only these operations. Each touches one key, or a key and its lock in one slot, so each works on
//! Redis Cluster. Each is atomic on the server, or made of steps between which others' may come, so a
//! replica that was frozen in between can do no harm.

pub mod keys;
mod memory;
mod redis;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

pub use self::memory::MemoryStore;
pub use self::redis::{RedisStore, ServerFacts};

/// The store could not be asked, or refused. Says why, without the value that was to be written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A value and how long it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: String,
    /// Its remaining life; `None` where it never ends.
    pub ttl: Option<Duration>,
}

/// Result of [`SharedStore::claim`]: the value, or who may create it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The value exists.
    Made(String),
    /// The lock is ours, and so is the work.
    Ours,
    /// Somebody else holds the lock.
    Theirs,
}

/// True for a value that can only be somebody's slip in redis-cli, and counts for none.
pub(crate) fn is_blank(value: &str) -> bool {
    value.trim().is_empty()
}

/// Whether a store is up, and since when.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why the last operation failed; `None` where it went well.
    pub error: Option<StoreError>,
    /// When `error` last came or went.
    pub since: Instant,
}

impl Health {
    fn good() -> Self {
        Self {
            error: None,
            since: Instant::now(),
        }
    }

    fn unknown() -> Self {
        Self {
            error: Some(StoreError("not asked yet".to_owned())),
            since: Instant::now(),
        }
    }

    fn record(&mut self, error: Option<&StoreError>) {
        if self.error.is_some() != error.is_some() {
            self.since = Instant::now();
        }
        self.error = error.cloned();
    }
}

/// Shorthand for what every operation returns.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A key-value store shared by all replicas.
pub trait SharedStore: Send + Sync {
    /// Reads `key`.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>>;

    /// Writes `value` only if there is nothing at `key`; tells whether it did.
    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a str, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Writes `value` only if `key` still holds `expected` (`None`: nothing); tells whether it did.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
        ttl: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Removes `key` only if it still holds `expected`; tells whether it did.
    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: &'a str) -> StoreFuture<'a, bool>;

    /// Reads `key`; where nothing (or only blanks) is there, takes `lock` for `owner` if it is free, and clears
    /// the place of the blanks.
    ///
    /// `lock` is in the slot of `key`, as [`keys::MEDIA_LOCK`] is. Whoever makes the value writes it by
    /// [`SharedStore::set_if_absent`] while `lock` is held, and may then let the lock end by itself: beside a value it
    /// guards nothing.
    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim>;

    /// Adds one to the counter at `key`, which lives for `ttl` from its first count on.
    fn increment<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, u64>;

    /// Appends an entry to the stream at `key`, which keeps about the last `cap` entries.
    fn append<'a>(&'a self, key: &'a str, fields: &'a [(&'static str, String)], cap: usize) -> StoreFuture<'a, ()>;

    /// The last `count` entries of the stream at `key`, newest first.
    fn newest<'a>(&'a self, key: &'a str, count: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>>;

    /// Asks whether the store answers at all.
    fn ping(&self) -> StoreFuture<'_, ()>;

    /// Whether the last operation went well, and since when.
    fn health(&self) -> Health;

    /// True where other processes see the same store.
    fn is_shared(&self) -> bool;
}
