//! Where Redis is: one server, the master that sentinels name, or a cluster; and a connection to it.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisFuture,
    RedisResult, TlsMode, Value,
};

use crate::settings::{self, RedisMode};

/// What the client allows a sentinel to connect; it can't be told otherwise.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) enum Topology {
    Standalone(Client),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

impl Topology {
    pub(super) fn new(settings: &settings::Redis) -> RedisResult<Self> {
        let info = settings.url.expose().into_connection_info()?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let address = |node: &settings::values::HostPort| {
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
        let (user, password) = (settings.username.as_str(), settings.password.expose());
        let mut login = info.redis_settings().clone();
        if !user.is_empty() {
            login = login.set_username(user);
        }
        if !password.is_empty() {
            login = login.set_password(password);
        }
        Ok(match settings.mode {
            RedisMode::Standalone => Self::Standalone(Client::open(info.set_redis_settings(login))?),
            RedisMode::Sentinel => {
                let nodes = settings.nodes.iter().map(address);
                let mut builder =
                    SentinelClientBuilder::new(nodes, &settings.sentinel_service, SentinelServerType::Master)?
                        .set_client_to_redis_db(login.db());
                if tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
                if let Some(user) = login.username() {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = login.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                Self::Sentinel(tokio::sync::Mutex::new(builder.build()?))
            }
            RedisMode::Cluster => {
                let nodes = settings
                    .nodes
                    .iter()
                    .map(|node| Ok(address(node).into_connection_info()?.set_redis_settings(login.clone())));
                let nodes: Vec<ConnectionInfo> = nodes.collect::<RedisResult<_>>()?;
                let builder = ClusterClientBuilder::new(nodes)
                    .connection_timeout(settings.connect_timeout)
                    .response_timeout(settings.response_timeout)
                    .retries(2);
                Self::Cluster(builder.build()?)
            }
        })
    }

    /// How long connecting may take, where one connection may take `limit`. Of several hosts one may be dead:
    /// the client waits for it at first, and once more where it learns of the others.
    pub(super) fn patience(&self, limit: Duration) -> Duration {
        match self {
            Self::Standalone(_) => limit,
            Self::Sentinel(_) | Self::Cluster(_) => 3 * limit.max(SENTINEL_TIMEOUT),
        }
    }

    pub(super) async fn connect(&self, limit: Duration) -> RedisResult<Wire> {
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
pub(super) enum Wire {
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
