//! The store in Redis: one server, the master named by sentinels, or a cluster.

mod error;
mod failures;
mod operation;
mod servers;
mod topology;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::streams::StreamMaxlen;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult};
use tokio::time::{Instant, timeout};

use failures::{Failures, OperationEnd};
pub use operation::COMMANDS;
use operation::Operation;
use topology::{Connection, Topology};

use super::{Claimed, Entry, Found, Health, SharedStore, StoreError, StoreFault, counts_as_none};
use crate::settings::Redis;
use crate::settings::values::pem_file;

/// A [`SharedStore`] in Redis.
///
/// The connection is made on first use, and again after it breaks. So after a restart or a failover, or if Redis was down
/// at start, no action is needed once it is back. Connecting and every command have time-outs. After a failed connection,
/// commands fail at once for `RETRY_AFTER`.
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

/// The reply of Redis or its client to a command, and when the connection used was made.
type Reply<T> = (RedisResult<T>, Instant);

impl RedisStore {
    /// A store in the Redis named by `settings`, whose certificate may be signed by an authority in `ca_file`. Does not
    /// connect yet.
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

    /// Runs one command.
    async fn run<T: FromRedisValue>(&self, operation: Operation, key: &str, command: Cmd) -> Result<T, StoreError> {
        self.run_all(operation, key, command, |_| true).await
    }

    /// Runs a script that need not run all of its commands; `ran_all` decides from its reply whether it has.
    async fn run_all<T: FromRedisValue>(
        &self,
        operation: Operation,
        key: &str,
        command: Cmd,
        ran_all: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        let reply = self.send(operation, |connection| connection.query(command)).await;
        self.outcome(operation, key, reply, ran_all).await
    }

    /// Runs `work` on the connection, within the time-out.
    async fn send<T, F>(&self, operation: Operation, work: impl FnOnce(Connection) -> F) -> Result<Reply<T>, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (connection, made_at) = self.connection().await?;
        let Ok(result) = timeout(self.settings.response_timeout, work(connection)).await else {
            self.forget_connection(made_at).await;
            let (command, _) = operation.commands();
            let message = format!("no answer to {command} in time (redis.response_timeout)");
            return Err(error::timed_out(&message, self.settings.mode));
        };
        Ok((result, made_at))
    }

    /// Forgets the connection made at `used`. A later connection, or a failure to connect, is kept: if the server falls
    /// silent, many commands time out at about the same time, and only the first may cause a new attempt.
    async fn forget_connection(&self, used: Instant) {
        let mut state = self.state.lock().await;
        if matches!(&*state, ConnectionState::Open { made_at, .. } if *made_at == used) {
            *state = ConnectionState::None;
        }
    }

    /// The result of `operation`: notes whether it succeeded, and explains a failure.
    async fn outcome<T>(
        &self,
        operation: Operation,
        key: &str,
        reply: Result<Reply<T>, StoreError>,
        ran_all: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        let result = match reply {
            Ok((Ok(value), _)) => Ok(value),
            Ok((Err(error), made_at)) => {
                // Before login Redis closes the connection at a long command, which breaks other commands in flight.
                let broke = error.kind() == ErrorKind::Io;
                let refused_login = broke.then(|| self.failures.lock().refused_login()).flatten();
                let error = refused_login.unwrap_or_else(|| error::refusal(operation, key, &error));
                // A refusal does not break the connection, which others use as well. After a lost connection, a failover
                // or a changed password, reconnecting is a client's only remedy.
                if matches!(
                    error.fault,
                    StoreFault::Unreachable | StoreFault::ReadOnly | StoreFault::Login
                ) {
                    self.forget_connection(made_at).await;
                }
                Err(error)
            }
            Err(error) => Err(error),
        };
        let outcome = match &result {
            Ok(value) if ran_all(value) => OperationEnd::Done,
            Err(error) if !error.is_about_value() => OperationEnd::Failed(error),
            Err(_) if operation.is_one_command() => OperationEnd::Done,
            Ok(_) | Err(_) => OperationEnd::Answered,
        };
        self.failures.lock().record(operation, key, outcome);
        result
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
        // Boxed: otherwise every command's future would be 4 KB larger for something that is done once.
        let connecting = Box::pin(self.topology.connect(limit));
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

/// The replies to [`SharedStore::claim`]'s two commands.
type ClaimReplies = (RedisResult<Option<String>>, RedisResult<(Option<Vec<u8>>, i64)>);
/// The fields of a stream's entry.
type StreamFields = Vec<(Vec<u8>, Vec<u8>)>;

/// `bytes` as text. What is not UTF-8 was not written by us.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn eval(script: &str, key: &str) -> Cmd {
    redis::cmd("EVAL").arg(script).arg(1).arg(key).take()
}

fn set_if_absent(key: &str, value: &str, ttl: Duration) -> Cmd {
    redis::cmd("SET").arg(&[key, value, "NX", "PX"]).arg(millis(ttl)).take()
}

/// Redis expects whole milliseconds and refuses 0.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl SharedStore for RedisStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (value, ttl): (Option<Vec<u8>>, i64) = self.run(Operation::Get, key, eval(operation::GET, key)).await?;
        // PTTL returns -1 if the key does not expire.
        let ttl = u64::try_from(ttl).ok().map(Duration::from_millis);
        Ok(value.map(|value| Entry {
            value: text(&value),
            ttl,
        }))
    }

    async fn inspect(&self, key: &str) -> Result<Found, StoreError> {
        let (kind, value, ttl): (String, Option<Vec<u8>>, i64) =
            self.run(Operation::Get, key, eval(operation::INSPECT, key)).await?;
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
        let command = eval(operation::SHORTEN, key).arg((millis(ttl), millis(longest))).take();
        self.run(Operation::Shorten, key, command).await
    }

    async fn set_if_absent(&self, key: &str, value: &str, ttl: Duration) -> Result<bool, StoreError> {
        let command = set_if_absent(key, value, ttl);
        let done: Option<String> = self.run(Operation::SetIfAbsent, key, command).await?;
        Ok(done.is_some())
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        value: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (condition, expected) = expected.map_or(("absent", ""), |expected| ("equals", expected));
        let arguments = (condition, expected, value, millis(ttl));
        let command = eval(operation::COMPARE_AND_SET, key).arg(arguments).take();
        self.run_all(Operation::CompareAndSet, key, command, |done| *done).await
    }

    async fn compare_and_delete(&self, key: &str, expected: &str) -> Result<bool, StoreError> {
        let command = eval(operation::COMPARE_AND_DELETE, key).arg(expected).take();
        self.run_all(Operation::CompareAndDelete, key, command, |done| *done)
            .await
    }

    // Two commands in one round trip, each on one key, so that a proxy can send them to different servers. The lock is
    // taken before the value is read, and is held until the value is written. So a caller that gets the lock although the
    // value exists also sees the value.
    async fn claim(&self, key: &str, lock: &str, owner: &str, lock_ttl: Duration) -> Result<Claimed, StoreError> {
        let mut commands = redis::pipe();
        commands.add_command(set_if_absent(lock, owner, lock_ttl));
        commands.add_command(eval(operation::GET, key)).ignore_errors();
        let replies = self.send(Operation::SetIfAbsent, |connection| connection.query_all(commands));
        let (taken, value) = match replies.await {
            Ok((result, made_at)) => {
                let (taken, value): ClaimReplies = result.unwrap_or_else(|error| (Err(error.clone()), Err(error)));
                (Ok((taken, made_at)), Ok((value, made_at)))
            }
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let taken = self.outcome(Operation::SetIfAbsent, lock, taken, |_| true).await;
        let (value, _) = self.outcome(Operation::Get, key, value, |_| true).await?;
        match value.as_deref().map(text) {
            Some(value) if !counts_as_none(&value) => {
                // The value counts even if the lock could not be written: Redis may be full, or read-only after a failover.
                if matches!(taken, Ok(Some(_))) {
                    // If this fails, the lock expires by itself.
                    let _ = self.compare_and_delete(lock, owner).await;
                }
                Ok(Claimed::Exists(value))
            }
            _ if taken?.is_none() => Ok(Claimed::Theirs),
            None => Ok(Claimed::Ours),
            Some(blank_or_too_long) => {
                self.compare_and_delete(key, &blank_or_too_long).await?;
                Ok(Claimed::Ours)
            }
        }
    }

    async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, StoreError> {
        let command = eval(operation::INCREMENT, key).arg(millis(ttl)).take();
        self.run_all(Operation::Increment, key, command, |count| *count == 1)
            .await
    }

    async fn append(&self, key: &str, fields: &[(&'static str, String)], cap: usize) -> Result<(), StoreError> {
        let command = Cmd::xadd_maxlen(key, StreamMaxlen::Approx(cap), "*", fields);
        let _id: String = self.run(Operation::Append, key, command).await?;
        Ok(())
    }

    async fn newest(&self, key: &str, count: usize) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        let command = eval(operation::NEWEST, key).arg(count).take();
        let entries: Vec<(String, StreamFields)> = self.run(Operation::Newest, key, command).await?;
        let texts = |(_id, fields): (String, StreamFields)| {
            fields.iter().map(|(name, value)| (text(name), text(value))).collect()
        };
        Ok(entries.into_iter().map(texts).collect())
    }

    fn health(&self) -> Health {
        self.failures.lock().health()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
