//! `[redis]`: the Redis that replicas share.

use std::time::Duration;

use redis::ConnectionInfo;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::settings::values::{self, AsText, built_in};

section! {
    /// `[redis]`.
    pub struct Redis {
        /// How the servers are arranged.
        pub mode: RedisMode = RedisMode::default(),
        /// The standalone server; `rediss://` for TLS. In the other modes only its scheme, login and database are used.
        pub url: values::RedisUrl = built_in(Secret::new("redis://127.0.0.1:6379/0")),
        /// Addresses of sentinels or cluster nodes, `host:port`.
        pub nodes: Vec<values::HostPort> = Vec::new(),
        /// The name of the master in the sentinels' configuration.
        pub sentinel_service: String = "mymaster".to_owned(),
        /// ACL user.
        pub username: String = String::new(),
        /// Its password.
        pub password: Secret = Secret::default(),
        /// ACL user at the sentinels themselves.
        pub sentinel_username: String = String::new(),
        /// Its password.
        pub sentinel_password: Secret = Secret::default(),
        /// The longest that connecting may take.
        #[serde(with = "values::PositiveDuration")]
        pub connect_timeout: Duration = Duration::from_secs(1),
        /// The longest one command may take.
        #[serde(with = "values::PositiveDuration")]
        pub response_timeout: Duration = Duration::from_secs(1),
    }
}

impl Redis {
    /// The standalone server with its login; in the other modes, its database, login and TLS are those of every server.
    pub(crate) fn connection(&self) -> ConnectionInfo {
        let info = self.url.connection_info();
        let mut login = info.redis_settings().clone();
        if !self.username.is_empty() {
            login = login.set_username(&self.username);
        }
        if !self.password.expose().is_empty() {
            login = login.set_password(self.password.expose());
        }
        info.clone().set_redis_settings(login)
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
