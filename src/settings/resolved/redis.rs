//! `[redis]`: how the servers are arranged, one login for all of them, and one for their sentinels.

use std::time::Duration;

use redis::ConnectionInfo;

use super::alone;
use crate::secret::Secret;
use crate::settings::problem::{Findings, Problems};
use crate::settings::sections::{self, RedisMode};
use crate::settings::values::HostPort;

/// How Redis is reached.
#[derive(Clone)]
pub struct Redis {
    /// How the servers are arranged.
    pub servers: Servers,
    /// The standalone server; with other arrangements, its database, login and TLS are those of every server.
    pub connection: ConnectionInfo,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// The longest one command may take.
    pub response_timeout: Duration,
}

/// How the servers are arranged.
#[derive(Clone)]
pub enum Servers {
    /// One server.
    Standalone,
    /// The master that these sentinels name.
    Sentinel {
        /// Addresses of sentinels, at least one.
        nodes: Vec<HostPort>,
        /// The master's name in their configuration.
        service: String,
        /// The login at the sentinels themselves.
        login: SentinelLogin,
    },
    /// A cluster.
    Cluster {
        /// Addresses of nodes, at least one.
        nodes: Vec<HostPort>,
    },
}

/// The login at the sentinels; empty means none.
#[derive(Clone)]
pub struct SentinelLogin {
    /// ACL user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

pub(in crate::settings) fn resolve(redis: &sections::Redis, findings: &mut Findings) -> Redis {
    let reachable = redis.mode == RedisMode::Standalone || !redis.nodes.is_empty();
    let text = "missing: redis.mode \"sentinel\" and \"cluster\" need addresses, \"host:port\"";
    findings.require(reachable, &["redis.nodes", "redis.mode"], text);
    let named = redis.mode != RedisMode::Sentinel || !redis.sentinel_service.trim().is_empty();
    let text = "missing: redis.mode \"sentinel\" needs the master's name";
    findings.require(named, &["redis.sentinel_service", "redis.mode"], text);
    let complete = redis.sentinel_username.is_empty() || !redis.sentinel_password.is_blank();
    let text = "missing: redis.sentinel_username has no effect without a password";
    findings.require(complete, &["redis.sentinel_password", "redis.sentinel_username"], text);
    let nodes = redis.nodes.clone();
    Redis {
        servers: match redis.mode {
            RedisMode::Standalone => Servers::Standalone,
            RedisMode::Sentinel => Servers::Sentinel {
                nodes,
                service: redis.sentinel_service.clone(),
                login: SentinelLogin {
                    username: redis.sentinel_username.clone(),
                    password: redis.sentinel_password.clone(),
                },
            },
            RedisMode::Cluster => Servers::Cluster { nodes },
        },
        connection: connection(redis),
        connect_timeout: redis.connect_timeout,
        response_timeout: redis.response_timeout,
    }
}

/// `redis.url` with the login that goes before its own.
fn connection(redis: &sections::Redis) -> ConnectionInfo {
    let info = redis.url.connection_info();
    let mut login = info.redis_settings().clone();
    if !redis.username.is_empty() {
        login = login.set_username(&redis.username);
    }
    if !redis.password.expose().is_empty() {
        login = login.set_password(redis.password.expose());
    }
    info.clone().set_redis_settings(login)
}

impl sections::Redis {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<Redis, Problems> {
        alone(|findings| Some(resolve(self, findings)))
    }
}
