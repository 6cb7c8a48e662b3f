//! What all replicas of a gateway share: a small key-value store, in Redis or in this process.
//!
//! Credentials, their lock, remembered uploads and the journal need only these operations. Each touches one key, or a key
//! and its lock in one slot, so it works on Redis Cluster. Each is atomic on the server, or safe if other replicas'
//! operations interleave with its steps, so a replica that freezes midway can do no harm.

pub mod keys;
mod memory;
mod redis;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use self::memory::MemoryStore;
pub use self::redis::{COMMANDS, RedisStore};

/// The maximum length of a value, in bytes. A longer one is cut one byte beyond it, on the server, so that no value in
/// Redis takes more memory here.
pub const MAX_VALUE: usize = 8 * 1024;

/// A value and its remaining TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written, except that it is cut at one byte beyond [`MAX_VALUE`], and that bytes that are not UTF-8 are replaced
    /// by U+FFFD.
    pub value: String,
    /// `None` if it does not expire.
    pub ttl: Option<Duration>,
}

/// The content of a key to which other programs may write too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A string.
    Bytes {
        /// As written.
        value: Vec<u8>,
        /// `None` if it does not expire.
        ttl: Option<Duration>,
    },
    /// A value of another type, by Redis' name for it.
    OtherType(String),
}

/// Result of [`SharedStore::claim`]: the value, or who may create it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The value exists.
    Exists(String),
    /// The caller holds the lock, and must create the value.
    Ours,
    /// Another caller holds the lock.
    Theirs,
}

/// True for a value that is ignored and may be replaced: only a bug or another program writes a blank or too long one.
pub(crate) fn counts_as_none(value: &str) -> bool {
    value.trim().is_empty() || value.len() > MAX_VALUE
}

/// Gives the lock at `key` the TTL `ttl` if it has none, or one of another order of magnitude than a gateway's: then
/// another program wrote it and may never release it.
pub(crate) async fn shorten_foreign_ttl(store: &dyn SharedStore, key: &str, ttl: Duration) {
    if let Ok(true) = store.shorten(key, ttl * 10, ttl).await {
        tracing::warn!(
            key,
            ?ttl,
            "a lock had no TTL, or more than ten times its present one, so no gateway wrote it"
        );
    }
}

/// Whether a store is up, and since when.
#[derive(Debug, Clone)]
pub struct Health {
    /// Why an operation fails; `None` if the last attempt of every operation succeeded.
    pub error: Option<StoreError>,
    /// When the store last went up or down.
    pub since: Instant,
}

/// The store could not be reached, or refused the operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of failure it is.
    pub fault: StoreFault,
    /// What happened, without the value to be written.
    pub message: String,
    /// What an operator can do about it.
    pub cure: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFault {
    /// No connection, no answer in time, or the connection was closed.
    Unreachable,
    /// The login is wrong or missing.
    Login,
    /// It accepts no writes.
    ReadOnly,
    /// Its memory is full.
    Full,
    /// It does not run this command for us: an ACL forbids it, or a proxy does not know it. "EVAL (GET, SET)" means any
    /// of the three.
    Refused(String),
    /// The key holds something of another type. Nothing is wrong with the store itself.
    WrongType,
    /// Anything else.
    Other,
}

impl StoreError {
    /// An error with its cure.
    pub fn new(fault: StoreFault, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            cure: cure.into(),
        }
    }

    /// True if it is about the value at the key, not about the store.
    pub fn is_about_value(&self) -> bool {
        self.fault == StoreFault::WrongType
    }
}

impl StoreFault {
    /// True if one log line covers both faults.
    fn is_like(&self, other: &Self) -> bool {
        let (Self::Refused(one), Self::Refused(other)) = (self, other) else {
            return self == other;
        };
        let mut words = one.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        words.any(|word| other.split(|c: char| !c.is_alphabetic()).any(|same| same == word))
    }
}

/// A key-value store shared by all replicas.
#[async_trait]
pub trait SharedStore: Send + Sync {
    /// Reads `key`.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Reads `key`, to which other programs may write too. No other program writes to the in-memory store.
    async fn inspect(&self, key: &str) -> Result<Found, StoreError> {
        let entry = self.get(key).await?;
        Ok(entry.map_or(Found::Nothing, |Entry { value, ttl }| Found::Bytes {
            value: value.into_bytes(),
            ttl,
        }))
    }

    /// Sets the TTL of `key` to `ttl` if it has none, or more than `longest`; true if it did. The in-memory store has
    /// no such keys.
    async fn shorten(&self, _key: &str, _longest: Duration, _ttl: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Writes `value` only if there is nothing at `key`; true if it did.
    async fn set_if_absent(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, StoreError>;

    /// Writes `value` only if `key` still holds `expected` (`None`: nothing); true if it did.
    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Removes `key` only if it still holds `expected`; true if it did.
    async fn compare_and_delete(&self, key: &str, expected: &str) -> Result<bool, StoreError>;

    /// Reads `key`. If there is no value, or one that counts as none, removes that one and takes `lock` for `owner`,
    /// unless the lock is held.
    ///
    /// `lock` is in the same slot as `key`, like [`keys::MEDIA_LOCK`]. The caller that creates the value writes it with
    /// [`SharedStore::set_if_absent`] while it holds `lock`, and may then let the lock expire: once there is a value, the
    /// lock guards nothing.
    async fn claim(&self, key: &str, lock: &str, owner: &str, lock_ttl: Duration) -> Result<Claimed, StoreError>;

    /// Adds one to the counter at `key`, which expires `ttl` after the first count.
    async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, StoreError>;

    /// Appends an entry to the stream at `key`, which keeps about the last `cap` entries.
    async fn append(&self, key: &str, fields: &[(&'static str, String)], cap: usize) -> Result<(), StoreError>;

    /// The last `count` entries of the stream at `key`, newest first.
    async fn newest(&self, key: &str, count: usize) -> Result<Vec<Vec<(String, String)>>, StoreError>;

    /// Whether the store is up, from the last attempt of each operation.
    fn health(&self) -> Health;

    /// True if other processes see the same store.
    fn is_shared(&self) -> bool;
}
