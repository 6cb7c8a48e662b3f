//! The store in Redis: one server, the master that sentinels name, or a cluster.

mod servers;
mod topology;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};
use tokio::time::{Instant, timeout};

pub use servers::ServerFacts;
use topology::{Connection, Topology};

use super::{Claim, Entry, Found, Health, SharedStore, StoreError, StoreFuture, is_blank};
use crate::settings::resolved;
use crate::settings::values::CaFile;

/// A [`SharedStore`] in Redis.
///
/// The connection is made on first use, and again after any failure, so a Redis that was down at the start, restarted
/// or failed over needs nothing but to come back. Connecting and every command have time-outs. After a failed
/// connection, commands fail at once for `RETRY_AFTER`.
pub struct RedisStore {
    topology: Topology,
    connect_timeout: Duration,
    response_timeout: Duration,
    state: tokio::sync::Mutex<State>,
    health: Mutex<Health>,
}

/// How long commands fail at once after a failed connection.
const RETRY_AFTER: Duration = Duration::from_millis(250);

enum State {
    None,
    Open(Connection),
    Failed { error: StoreError, retry_at: Instant },
}

/// Lua scripts, because reading and writing must be one step on the server.
mod script {
    pub const GET: &str = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";
    /// The type, then what [`GET`] returns. `TYPE` is asked only of another program's value, so a user need not have
    /// the right to it.
    pub const INSPECT: &str = "\
        local value = redis.pcall('GET', KEYS[1]) \
        if type(value) == 'table' then \
          if not string.find(value.err, 'WRONGTYPE', 1, true) then return value end \
          local kind = redis.pcall('TYPE', KEYS[1]) \
          return {kind.ok or 'other', false, -1} \
        end \
        return {'string', value, redis.call('PTTL', KEYS[1])}";
    pub const EXPIRE_IF_ENDLESS: &str = "\
        if redis.call('PTTL', KEYS[1]) == -1 then return redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
        return 0";
    pub const COMPARE_AND_SET: &str = "\
        local now = redis.call('GET', KEYS[1]) \
        if (ARGV[1] == 'absent' and not now) or (ARGV[1] == 'equals' and now == ARGV[2]) then \
          redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) \
          return 1 \
        end \
        return 0";
    pub const COMPARE_AND_DELETE: &str = "\
        if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end \
        return 0";
    pub const INCREMENT: &str = "\
        local count = redis.call('INCR', KEYS[1]) \
        if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
        return count";
}

impl RedisStore {
    /// A store in the Redis that `settings` name. An authority in `ca_file` may have signed its certificate. Nothing is
    /// connected yet.
    pub fn new(settings: &resolved::Redis, ca_file: &CaFile) -> Result<Self, StoreError> {
        let roots = ca_file.with_system_roots().map_err(StoreError)?;
        Ok(Self {
            topology: Topology::new(settings, roots).map_err(|error| failed(&error))?,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            state: tokio::sync::Mutex::new(State::None),
            health: Mutex::new(Health::unknown()),
        })
    }

    /// Runs one command and records whether the store is up.
    async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.run_with(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// Does `work` over the connection, within the time-out, and records whether the store is up.
    async fn run_with<T, F>(&self, work: impl FnOnce(Connection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let result = self.try_to_run(work).await;
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(result.as_ref().err());
        result
    }

    async fn try_to_run<T, F>(&self, work: impl FnOnce(Connection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connection().await?;
        let error = match timeout(self.response_timeout, work(connection)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => failed(&error),
            Err(_) => StoreError("Redis did not answer in time".to_owned()),
        };
        // Whatever the cause (connection lost, failed over to a replica, password changed), the only remedy that a
        // client has is a new connection.
        *self.state.lock().await = State::None;
        Err(error)
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Open(connection) => return Ok(connection.clone()),
            State::Failed { error, retry_at } if Instant::now() < *retry_at => return Err(error.clone()),
            State::None | State::Failed { .. } => {}
        }
        // Boxed, so that the future of every command is not 4 KB larger for what is done once.
        let connecting = self.topology.connect(self.connect_timeout).boxed();
        let error = match timeout(self.topology.limit(self.connect_timeout), connecting).await {
            Ok(Ok(connection)) => {
                *state = State::Open(connection.clone());
                return Ok(connection);
            }
            Ok(Err(error)) => failed(&error),
            Err(_) => StoreError("no connection to Redis in time".to_owned()),
        };
        *state = State::Failed {
            error: error.clone(),
            retry_at: Instant::now() + RETRY_AFTER,
        };
        Err(error)
    }
}

/// The error of Redis or of the client. Neither quotes values, but a server's text is not to be trusted.
fn failed(error: &redis::RedisError) -> StoreError {
    StoreError(
        error
            .to_string()
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect(),
    )
}

fn eval(script: &str, keys: &[&str]) -> Cmd {
    // Room for any of the scripts with its arguments, so that the buffer need not grow.
    let mut command = Cmd::with_capacity(8, 768);
    command.arg("EVAL").arg(script).arg(keys.len()).arg(keys);
    command
}

fn set_if_absent(key: &str, value: &str, ttl: Duration) -> Cmd {
    // Room for an upload's key and value, so that the buffer need not grow.
    let mut command = Cmd::with_capacity(6, 256);
    command
        .arg("SET")
        .arg(key)
        .arg(value)
        .arg("NX")
        .arg("PX")
        .arg(millis(ttl));
    command
}

/// Redis expects whole milliseconds and refuses 0.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl SharedStore for RedisStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        async move {
            let (value, ttl): (Option<String>, i64) = self.run(eval(script::GET, &[key])).await?;
            // PTTL returns -1 if the key does not expire.
            let ttl = u64::try_from(ttl).ok().map(Duration::from_millis);
            Ok(value.map(|value| Entry { value, ttl }))
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Found> {
        async move {
            let (kind, value, ttl): (String, Option<Vec<u8>>, i64) = self.run(eval(script::INSPECT, &[key])).await?;
            Ok(match value {
                Some(value) => Found::Bytes {
                    value,
                    ttl: u64::try_from(ttl).ok().map(Duration::from_millis),
                },
                None if kind == "string" => Found::Nothing,
                None => Found::OtherType(kind),
            })
        }
        .boxed()
    }

    fn expire_if_endless<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        async move {
            let mut command = eval(script::EXPIRE_IF_ENDLESS, &[key]);
            command.arg(millis(ttl));
            self.run(command).await
        }
        .boxed()
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        async move {
            let done: Option<String> = self.run(set_if_absent(key, value, ttl)).await?;
            Ok(done.is_some())
        }
        .boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        async move {
            let mut command = eval(script::COMPARE_AND_SET, &[key]);
            command.arg(if expected.is_some() { "equals" } else { "absent" });
            command.arg(expected.unwrap_or_default()).arg(value).arg(millis(ttl));
            self.run(command).await
        }
        .boxed()
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: &'a str) -> StoreFuture<'a, bool> {
        async move {
            let mut command = eval(script::COMPARE_AND_DELETE, &[key]);
            command.arg(expected);
            self.run(command).await
        }
        .boxed()
    }

    // Plain commands, because a script takes Redis half as long again and every upload waits for this. The lock is
    // taken before the value is read, and is not free before the value is written. So a caller that gets the lock of
    // a value that exists also sees the value.
    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim> {
        async move {
            let mut commands = Pipeline::with_capacity(2);
            commands.add_command(set_if_absent(lock, owner, lock_ttl));
            commands.get(key).ignore_errors();
            let work = |mut connection| async move {
                type Reply = RedisResult<Option<String>>;
                let (taken, value): (Reply, Reply) = commands.query_async(&mut connection).await?;
                Ok(match value? {
                    // Also if the lock can't be written: Redis may be full, or a read-only replica by now.
                    Some(value) if !is_blank(&value) => (taken.is_ok_and(|taken| taken.is_some()), Some(value)),
                    value => (taken?.is_some(), value),
                })
            };
            let (taken, value) = self.run_with(work).await?;
            match value {
                Some(value) if !is_blank(&value) => {
                    if taken {
                        // If this fails, the lock expires by itself.
                        let _ = self.compare_and_delete(lock, owner).await;
                    }
                    Ok(Claim::Made(value))
                }
                _ if !taken => Ok(Claim::Theirs),
                None => Ok(Claim::Ours),
                Some(blank) => {
                    self.compare_and_delete(key, &blank).await?;
                    Ok(Claim::Ours)
                }
            }
        }
        .boxed()
    }

    fn increment<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, u64> {
        async move {
            let mut command = eval(script::INCREMENT, &[key]);
            command.arg(millis(ttl));
            self.run(command).await
        }
        .boxed()
    }

    fn append<'a>(&'a self, key: &'a str, fields: &'a [(&'static str, String)], cap: usize) -> StoreFuture<'a, ()> {
        async move {
            let mut command = redis::cmd("XADD");
            command.arg(key).arg("MAXLEN").arg("~").arg(cap).arg("*");
            for (name, value) in fields {
                command.arg(name).arg(value);
            }
            let _id: String = self.run(command).await?;
            Ok(())
        }
        .boxed()
    }

    fn newest<'a>(&'a self, key: &'a str, count: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>> {
        async move {
            let mut command = redis::cmd("XREVRANGE");
            command.arg(key).arg("+").arg("-").arg("COUNT").arg(count);
            let entries: Vec<(String, Vec<(String, String)>)> = self.run(command).await?;
            Ok(entries.into_iter().map(|(_id, fields)| fields).collect())
        }
        .boxed()
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        async move {
            let _pong: String = self.run(redis::cmd("PING")).await?;
            Ok(())
        }
        .boxed()
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
