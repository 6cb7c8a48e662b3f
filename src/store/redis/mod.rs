//! The store in Redis: one server, the master that sentinels name, or a cluster.

mod error;
mod failures;
mod scripts;
mod servers;
mod topology;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, FromRedisValue};
use tokio::time::{Instant, timeout};

use failures::Failures;
pub use scripts::COMMANDS;
use topology::{Connection, Topology};

use super::{Claimed, Entry, Found, Health, SharedStore, StoreError, StoreFault};
use crate::settings::Redis;
use crate::settings::values::pem_file;

/// A [`SharedStore`] in Redis.
///
/// The connection is made on first use, and again after it has broken, so after a restart or a failover, or if Redis
/// was down at the start, no action is needed once it is back. Connecting and every command have time-outs. After a
/// failed connection, commands fail at once for `RETRY_AFTER`.
pub struct RedisStore {
    topology: Topology,
    settings: Redis,
    state: tokio::sync::Mutex<ConnectionState>,
    failures: Mutex<Failures>,
}

/// How long commands fail at once after a failed connection.
const RETRY_AFTER: Duration = Duration::from_millis(250);

enum ConnectionState {
    None,
    Open { connection: Connection, made_at: Instant },
    Failed { error: StoreError, retry_at: Instant },
}

impl RedisStore {
    /// A store in the Redis that `settings` name, whose certificate may be signed by an authority in `ca_file`. Nothing
    /// is connected yet.
    pub fn new(settings: &Redis, ca_file: &Path) -> Result<Self, StoreError> {
        let unusable = |message| StoreError::new(StoreFault::Other, message, "");
        let roots = pem_file::with_system_roots(ca_file).map_err(unusable)?;
        let topology = Topology::new(settings, roots);
        Ok(Self {
            topology: topology.map_err(|error| error::no_connection(&error, settings.mode))?,
            settings: settings.clone(),
            state: tokio::sync::Mutex::new(ConnectionState::None),
            failures: Mutex::default(),
        })
    }

    /// Runs `command`, which `name` describes, on `key`. A failure is noted, unless it is about the value.
    async fn run<T: FromRedisValue>(&self, name: &str, key: &str, command: Cmd) -> Result<T, StoreError> {
        let result = self.send(name, key, &command).await;
        if let Err(error) = &result
            && !error.is_about_value()
        {
            self.failures.lock().note(key, error);
        }
        result
    }

    /// Sends `command` within the time-out, and explains a failure.
    async fn send<T: FromRedisValue>(&self, name: &str, key: &str, command: &Cmd) -> Result<T, StoreError> {
        let (connection, made_at) = self.connection().await?;
        let Ok(result) = timeout(self.settings.response_timeout, connection.query(command)).await else {
            self.forget_connection(made_at).await;
            let message = format!("no answer to {name} in time (redis.response_timeout)");
            return Err(error::timed_out(&message, self.settings.mode));
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Before a login Redis closes the connection at a long command, which breaks the others under way.
        let broke = error.kind() == ErrorKind::Io;
        let refused_login = broke.then(|| self.failures.lock().refused_login()).flatten();
        let error = refused_login.unwrap_or_else(|| error::refusal(name, key, &error));
        // A refusal does not cost the connection, which others use as well. After a lost connection, a failover or a
        // changed password, a new one is the only remedy that a client has.
        if matches!(
            error.fault,
            StoreFault::Unreachable | StoreFault::ReadOnly | StoreFault::Login
        ) {
            self.forget_connection(made_at).await;
        }
        Err(error)
    }

    /// Forgets the connection that was made at `used`. A later connection, or a failure to connect, is kept: if the
    /// server falls silent, many commands time out at about the same time, and only the first may cause a new attempt.
    async fn forget_connection(&self, used: Instant) {
        let mut state = self.state.lock().await;
        if matches!(&*state, ConnectionState::Open { made_at, .. } if *made_at == used) {
            *state = ConnectionState::None;
        }
    }

    /// The connection, and when it was made.
    async fn connection(&self) -> Result<(Connection, Instant), StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            ConnectionState::Open { connection, made_at } => return Ok((connection.clone(), *made_at)),
            ConnectionState::Failed { error, retry_at } if Instant::now() < *retry_at => return Err(error.clone()),
            ConnectionState::None | ConnectionState::Failed { .. } => {}
        }
        let limit = self.settings.connect_timeout;
        // Boxed: otherwise the future of every command would be 4 KB larger for something that is done once.
        let connecting = self.topology.connect(limit).boxed();
        let error = match timeout(self.topology.limit(limit), connecting).await {
            Ok(Ok(connection)) => {
                let made_at = Instant::now();
                *state = ConnectionState::Open {
                    connection: connection.clone(),
                    made_at,
                };
                return Ok((connection, made_at));
            }
            Ok(Err(error)) if error::is_login(&error) && self.topology.is_refused_by_sentinels(limit).await => {
                error::sentinel_login(&error)
            }
            Ok(Err(error)) => error::no_connection(&error, self.settings.mode),
            Err(_) => error::timed_out("no connection in time (redis.connect_timeout)", self.settings.mode),
        };
        *state = ConnectionState::Failed {
            error: error.clone(),
            retry_at: Instant::now() + RETRY_AFTER,
        };
        Err(error)
    }
}

/// The fields of a stream's entry.
type StreamFields = Vec<(Vec<u8>, Vec<u8>)>;

/// `bytes` as text. Any that is not UTF-8 was not written by us.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn eval(script: &str, keys: &[&str]) -> Cmd {
    // Room for any of the scripts with its arguments, so that the buffer need not grow.
    let mut command = Cmd::with_capacity(8, 768);
    command.arg("EVAL").arg(script).arg(keys.len()).arg(keys);
    command
}

/// Redis expects whole milliseconds and refuses 0.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl SharedStore for RedisStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (value, ttl): (Option<Vec<u8>>, i64) =
            self.run("EVAL (GET, PTTL)", key, eval(scripts::GET, &[key])).await?;
        // PTTL returns -1 if the key does not expire.
        let ttl = u64::try_from(ttl).ok().map(Duration::from_millis);
        Ok(value.map(|value| Entry {
            value: text(value),
            ttl,
        }))
    }

    async fn inspect(&self, key: &str) -> Result<Found, StoreError> {
        let (kind, value, ttl): (String, Option<Vec<u8>>, i64) = self
            .run("EVAL (GET, PTTL)", key, eval(scripts::INSPECT, &[key]))
            .await?;
        Ok(match value {
            Some(value) => Found::Bytes {
                value,
                ttl: u64::try_from(ttl).ok().map(Duration::from_millis),
            },
            None if kind == "string" => Found::Nothing,
            None => Found::OtherType(kind),
        })
    }

    async fn shorten(&self, key: &str, longest: Duration, ttl: Duration) -> Result<bool, StoreError> {
        let mut command = eval(scripts::SHORTEN, &[key]);
        command.arg(millis(ttl)).arg(millis(longest));
        self.run("EVAL (PTTL, PEXPIRE)", key, command).await
    }

    async fn set_if_absent(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, StoreError> {
        // Room for an upload's key and value, so that the buffer need not grow.
        let mut command = Cmd::with_capacity(6, 256);
        command.arg("SET").arg(key).arg(value);
        command.arg("NX").arg("PX").arg(millis(ttl));
        let done: Option<String> = self.run("SET", key, command).await?;
        Ok(done.is_some())
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut command = eval(scripts::COMPARE_AND_SET, &[key]);
        command.arg(if expected.is_some() { "equals" } else { "absent" });
        command.arg(expected.unwrap_or_default()).arg(value).arg(millis(ttl));
        self.run("EVAL (GET, SET)", key, command).await
    }

    async fn compare_and_delete(&self, key: &str, expected: &str) -> Result<bool, StoreError> {
        let mut command = eval(scripts::COMPARE_AND_DELETE, &[key]);
        command.arg(expected);
        self.run("EVAL (GET, DEL)", key, command).await
    }

    async fn claim(&self, key: &str, lock: &str, owner: &str, lock_ttl: Duration) -> Result<Claimed, StoreError> {
        let mut command = eval(scripts::CLAIM, &[key, lock]);
        command.arg(owner).arg(millis(lock_ttl));
        let (value, taken): (Option<Vec<u8>>, bool) = self.run("EVAL (GET, SET, DEL)", key, command).await?;
        Ok(match value {
            Some(value) => Claimed::Exists(text(value)),
            None if taken => Claimed::Ours,
            None => Claimed::Theirs,
        })
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, StoreError> {
        let mut command = eval(scripts::INCREMENT, &[key]);
        command.arg(millis(ttl));
        self.run("EVAL (INCR, PEXPIRE)", key, command).await
    }

    async fn append(&self, key: &str, fields: &[(&'static str, String)], cap: usize) -> Result<(), StoreError> {
        let mut command = redis::cmd("XADD");
        command.arg(key).arg("MAXLEN").arg("~").arg(cap).arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        let _id: String = self.run("XADD", key, command).await?;
        Ok(())
    }

    async fn newest(&self, key: &str, count: usize) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        let mut command = eval(scripts::NEWEST, &[key]);
        command.arg(count);
        let entries: Vec<(String, StreamFields)> = self.run("EVAL (XREVRANGE)", key, command).await?;
        let texts = |fields: StreamFields| -> Vec<(String, String)> {
            let fields = fields.into_iter();
            fields.map(|(name, value)| (text(name), text(value))).collect()
        };
        Ok(entries.into_iter().map(|(_id, fields)| texts(fields)).collect())
    }

    fn health(&self) -> Health {
        self.failures.lock().health()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
