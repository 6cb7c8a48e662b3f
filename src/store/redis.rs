//! The store in Redis: one server, the master that sentinels name, or a cluster.

mod servers;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisFuture, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::time::{Instant, timeout};

pub use servers::ServerFacts;

use super::{Claim, Entry, Health, SharedStore, StoreError, StoreFuture, is_blank};
use crate::settings::resolved::{self, Servers};
use crate::settings::values::{CaFile, HostPort};

/// A [`SharedStore`] in Redis.
///
/// The connection is made on first use and made anew after any failure, so a Redis that is down at
/// the start, restarted or failed over needs nothing but to come back. Connecting and every command
/// have their time-outs, and for `RETRY_AFTER` after a failed connection nobody waits for another.
pub struct RedisStore {
    topology: Topology,
    connect_timeout: Duration,
    response_timeout: Duration,
    connection: tokio::sync::Mutex<Connection>,
    health: Mutex<Health>,
}

/// How long a failed connection is not tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// What the client allows a sentinel to connect; it can't be told otherwise.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

enum Topology {
    Standalone(Client),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

enum Connection {
    None,
    Open(Wire),
    Failed { error: StoreError, retry_at: Instant },
}

/// Lua, so that looking and acting are one step on the server.
mod script {
    pub const GET: &str = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";
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
    /// A store at the Redis that `settings` name, whose certificate an authority in `ca_file` may have signed.
    /// Nothing is connected yet.
    pub fn new(settings: &resolved::Redis, ca_file: &CaFile) -> Result<Self, StoreError> {
        let roots = ca_file.with_system_roots().map_err(StoreError)?;
        Ok(Self {
            topology: Topology::new(settings, roots).map_err(|error| failed(&error))?,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            connection: tokio::sync::Mutex::new(Connection::None),
            health: Mutex::new(Health::unknown()),
        })
    }

    /// Runs one command and records whether the store is up.
    async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreError> {
        self.ask(|mut wire| async move { command.query_async(&mut wire).await })
            .await
    }

    /// Does `work` over the connection, in time, and records whether the store is up.
    async fn ask<T, F: Future<Output = RedisResult<T>>>(&self, work: impl FnOnce(Wire) -> F) -> Result<T, StoreError> {
        let result = self.try_ask(work).await;
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(result.as_ref().err());
        result
    }

    async fn try_ask<T, F: Future<Output = RedisResult<T>>>(
        &self,
        work: impl FnOnce(Wire) -> F,
    ) -> Result<T, StoreError> {
        let wire = self.wire().await?;
        let error = match timeout(self.response_timeout, work(wire)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => failed(&error),
            Err(_) => StoreError("Redis did not answer in time".to_owned()),
        };
        // Whatever it was (cut off, failed over to a replica, password changed), a new connection
        // is the one cure that a client has.
        *self.connection.lock().await = Connection::None;
        Err(error)
    }

    async fn wire(&self) -> Result<Wire, StoreError> {
        let mut connection = self.connection.lock().await;
        match &*connection {
            Connection::Open(wire) => return Ok(wire.clone()),
            Connection::Failed { error, retry_at } if Instant::now() < *retry_at => return Err(error.clone()),
            Connection::None | Connection::Failed { .. } => {}
        }
        // Boxed, as every command's future would have the four kilobytes of what is done once.
        let opening = self.topology.connect(self.connect_timeout).boxed();
        let opened = timeout(self.topology.patience(self.connect_timeout), opening).await;
        let error = match opened {
            Ok(Ok(wire)) => {
                *connection = Connection::Open(wire.clone());
                return Ok(wire);
            }
            Ok(Err(error)) => failed(&error),
            Err(_) => StoreError("no connection to Redis in time".to_owned()),
        };
        *connection = Connection::Failed {
            error: error.clone(),
            retry_at: Instant::now() + RETRY_AFTER,
        };
        Err(error)
    }
}

/// What Redis or the client said. Neither quotes values, but a server's text is not ours to trust.
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

impl Topology {
    fn new(settings: &resolved::Redis, roots: Option<Vec<u8>>) -> RedisResult<Self> {
        let info = &settings.connection;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let certificates = roots.filter(|_| tls).map(|roots| TlsCertificates {
            client_tls: None,
            root_cert: Some(roots),
        });
        let address = |node: &HostPort| {
            let (host, port) = (node.host().to_owned(), node.port());
            if tls {
                ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        };
        let login = info.redis_settings();
        Ok(match &settings.servers {
            Servers::Standalone => Self::Standalone(match certificates {
                Some(certificates) => Client::build_with_tls(info.clone(), certificates)?,
                None => Client::open(info.clone())?,
            }),
            Servers::Sentinel { nodes, service } => {
                let nodes = nodes.iter().map(address);
                let mut builder = SentinelClientBuilder::new(nodes, service, SentinelServerType::Master)?
                    .set_client_to_redis_db(login.db());
                if tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                if let Some(certificates) = certificates {
                    builder = builder
                        .set_client_to_sentinel_certificates(certificates.clone())
                        .set_client_to_redis_certificates(certificates);
                }
                if let Some(user) = login.username() {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = login.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                Self::Sentinel(tokio::sync::Mutex::new(builder.build()?))
            }
            Servers::Cluster { nodes } => {
                let nodes = nodes
                    .iter()
                    .map(|node| Ok(address(node).into_connection_info()?.set_redis_settings(login.clone())));
                let nodes: Vec<ConnectionInfo> = nodes.collect::<RedisResult<_>>()?;
                let mut builder = ClusterClientBuilder::new(nodes)
                    .connection_timeout(settings.connect_timeout)
                    .response_timeout(settings.response_timeout)
                    .retries(2);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                Self::Cluster(builder.build()?)
            }
        })
    }

    /// How long connecting may take, where one connection may take `limit`. Of several hosts one may be dead:
    /// the client waits for it at first, and once more where it learns of the others.
    fn patience(&self, limit: Duration) -> Duration {
        match self {
            Self::Standalone(_) => limit,
            Self::Sentinel(_) | Self::Cluster(_) => 3 * limit.max(SENTINEL_TIMEOUT),
        }
    }

    async fn connect(&self, limit: Duration) -> RedisResult<Wire> {
        // Answers are waited for by whoever asks.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None);
        Ok(match self {
            Self::Standalone(client) => {
                Wire::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Sentinel(client) => {
                Wire::Single(client.lock().await.get_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Wire::Cluster(client.get_async_connection().await?),
        })
    }
}

/// A connection to one server or to a cluster.
#[derive(Clone)]
enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn eval(script: &str, keys: &[&str]) -> Cmd {
    // Room for any of the scripts with its arguments, so that it does not grow step by step.
    let mut command = Cmd::with_capacity(8, 768);
    command.arg("EVAL").arg(script).arg(keys.len()).arg(keys);
    command
}

fn set_if_absent(key: &str, value: &str, ttl: Duration) -> Cmd {
    // Room for an upload's, so that it does not grow step by step.
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

/// Redis counts lives in whole milliseconds and refuses 0.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl SharedStore for RedisStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        async move {
            let (value, ttl): (Option<String>, i64) = self.run(eval(script::GET, &[key])).await?;
            // PTTL says -1 where the key never ends.
            let ttl = u64::try_from(ttl).ok().map(Duration::from_millis);
            Ok(value.map(|value| Entry { value, ttl }))
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

    // Plain commands and not a script, which takes Redis half as long again: every upload waits for this. The
    // lock is taken before the look for the value, and is not free before the value is written; so whoever gets
    // the lock of a value that is made also sees the value.
    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim> {
        async move {
            let mut commands = Pipeline::with_capacity(2);
            commands.add_command(set_if_absent(lock, owner, lock_ttl));
            commands.get(key).ignore_errors();
            let work = |mut wire| async move {
                type Reply = RedisResult<Option<String>>;
                let (taken, value): (Reply, Reply) = commands.query_async(&mut wire).await?;
                Ok(match value? {
                    // Also where no lock can be written: Redis may be full, or a replica by now.
                    Some(value) if !is_blank(&value) => (taken.is_ok_and(|taken| taken.is_some()), Some(value)),
                    value => (taken?.is_some(), value),
                })
            };
            let (taken, value) = self.ask(work).await?;
            match value {
                Some(value) if !is_blank(&value) => {
                    if taken {
                        // Where this fails, the lock ends by itself.
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
