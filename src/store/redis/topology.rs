//! Where Redis is, and how to connect to it: one server, sentinels or a cluster, with or without TLS.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisResult, TlsCertificates, TlsMode,
};
use tokio::time::timeout;

use super::error::is_login;
use crate::settings::values::HostPort;
use crate::settings::{Redis, RedisMode};

/// The client's own time-out for connecting to a sentinel; it can't be changed.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) enum Topology {
    Standalone(Client),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

impl Topology {
    /// `roots` are the authorities that may have signed the servers' certificates; `None` means the system's.
    pub(super) fn new(settings: &Redis, roots: Option<Vec<u8>>) -> RedisResult<Self> {
        let certificates = roots.filter(|_| settings.url.is_tls()).map(|roots| TlsCertificates {
            client_tls: None,
            root_cert: Some(roots),
        });
        Ok(match settings.mode {
            RedisMode::Standalone => Self::Standalone(standalone(settings, certificates)?),
            RedisMode::Sentinel => Self::Sentinel(sentinel(settings, certificates)?.into()),
            RedisMode::Cluster => Self::Cluster(cluster(settings, certificates)?),
        })
    }

    /// The maximum duration of connecting if one connection may take `limit`. If one of several hosts is dead, the client
    /// may wait for it twice: at first, and again after it has learned of the others.
    pub(super) fn limit(&self, limit: Duration) -> Duration {
        match self {
            Self::Standalone(_) => limit,
            Self::Sentinel(_) | Self::Cluster(_) => 3 * limit.max(SENTINEL_TIMEOUT),
        }
    }

    pub(super) async fn connect(&self, limit: Duration) -> RedisResult<Connection> {
        // The store has its own time-out for answers.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None);
        Ok(match self {
            Self::Standalone(client) => {
                Connection::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Sentinel(client) => {
                Connection::Single(client.lock().await.get_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }

    /// True if there are sentinels, and none of them accepts our login.
    pub(super) async fn is_refused_by_sentinels(&self, limit: Duration) -> bool {
        let Self::Sentinel(client) = self else {
            return false;
        };
        let mut client = client.lock().await;
        let answer = timeout(self.limit(limit), client.async_get_sentinel_client()).await;
        answer.is_ok_and(|answer| answer.is_err_and(|error| is_login(&error)))
    }
}

fn standalone(settings: &Redis, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    // No CLIENT SETINFO: a proxy that does not know the command may close the connection.
    let connection = settings.connection();
    let login = connection.redis_settings().clone().set_skip_set_lib_name();
    let connection = connection.set_redis_settings(login);
    match certificates {
        Some(certificates) => Client::build_with_tls(connection, certificates),
        None => Client::open(connection),
    }
}

fn address(node: &HostPort, tls: bool) -> ConnectionAddr {
    let (host, port) = node.parts();
    let host = host.to_owned();
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
}

fn sentinel(settings: &Redis, certificates: Option<TlsCertificates>) -> RedisResult<SentinelClient> {
    let (tls, connection) = (settings.url.is_tls(), settings.connection());
    let login = connection.redis_settings();
    let nodes = settings.nodes.iter().map(|node| address(node, tls));
    let mut builder = SentinelClientBuilder::new(nodes, &settings.sentinel_service, SentinelServerType::Master)?
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
    if !settings.sentinel_username.is_empty() {
        builder = builder.set_client_to_sentinel_username(&settings.sentinel_username);
    }
    if !settings.sentinel_password.expose().is_empty() {
        builder = builder.set_client_to_sentinel_password(settings.sentinel_password.expose());
    }
    builder.build()
}

fn cluster(settings: &Redis, certificates: Option<TlsCertificates>) -> RedisResult<ClusterClient> {
    let (tls, connection) = (settings.url.is_tls(), settings.connection());
    let login = connection.redis_settings();
    let nodes = settings.nodes.iter().map(|node| {
        let info = address(node, tls).into_connection_info()?;
        Ok(info.set_redis_settings(login.clone()))
    });
    let nodes: Vec<ConnectionInfo> = nodes.collect::<RedisResult<_>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.response_timeout)
        .retries(2);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

/// A connection to one server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn query<T: FromRedisValue>(self, command: Cmd) -> RedisResult<T> {
        match self {
            Self::Single(mut connection) => command.query_async(&mut connection).await,
            Self::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }

    pub(super) async fn query_all<T: FromRedisValue>(self, commands: Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(mut connection) => commands.query_async(&mut connection).await,
            Self::Cluster(mut connection) => commands.query_async(&mut connection).await,
        }
    }
}
