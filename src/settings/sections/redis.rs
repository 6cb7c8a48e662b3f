//! `[redis]`: the Redis that replicas share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::settings::values::{self, AsText, built_in};

/// `[redis]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// How the servers are arranged.
    pub mode: RedisMode,
    /// The standalone server; `rediss://` for TLS. In the other modes only its scheme, login and database are used.
    pub url: values::RedisUrl,
    /// Addresses of sentinels or cluster nodes, `host:port`.
    pub nodes: Vec<values::HostPort>,
    /// The name of the master in the sentinels' configuration.
    pub sentinel_service: String,
    /// ACL user.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// ACL user at the sentinels themselves.
    pub sentinel_username: String,
    /// Its password.
    pub sentinel_password: Secret,
    /// The longest that connecting may take.
    #[serde(with = "values::PositiveDuration")]
    pub connect_timeout: Duration,
    /// The longest one command may take.
    #[serde(with = "values::PositiveDuration")]
    pub response_timeout: Duration,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            mode: RedisMode::default(),
            url: built_in(Secret::new("redis://127.0.0.1:6379/0")),
            nodes: Vec::new(),
            sentinel_service: "mymaster".to_owned(),
            username: String::new(),
            password: Secret::default(),
            sentinel_username: String::new(),
            sentinel_password: Secret::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        }
    }
}

/// How the Redis servers are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server, at `redis.url`.
    #[default]
    Standalone,
    /// The master that the sentinels at `redis.nodes` name.
    Sentinel,
    /// A cluster, discovered from `redis.nodes`.
    Cluster,
}
