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
        /// The ACL user.
        pub username: String = String::new(),
        /// The ACL user's password.
        pub password: Secret = Secret::default(),
        /// The ACL user at the sentinels themselves.
        pub sentinel_username: String = String::new(),
        /// The password of the sentinels' ACL user.
        pub sentinel_password: Secret = Secret::default(),
        /// The time limit for connecting.
        #[serde(with = "values::PositiveDuration")]
        pub connect_timeout: Duration = Duration::from_secs(1),
        /// The time limit for one command.
        #[serde(with = "values::PositiveDuration")]
        pub response_timeout: Duration = Duration::from_secs(1),
    }
}

impl Redis {
    /// The standalone server with its login; in the other modes, every server's database, login and TLS.
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
    /// The master named by the sentinels at `redis.nodes`.
    Sentinel,
    /// A cluster, discovered from `redis.nodes`.
    Cluster,
}
