//! Settings that are allowed, and that an operator should know the risk of.

use std::net::IpAddr;

use super::{AuthMode, Backend, RedisMode, Settings, TokenApi};

/// Shorter keys can be guessed.
const SHORTEST_KEY: usize = 16;

impl Settings {
    /// What is legal but risky, a sentence each, for the log at start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        [
            self.classic_tokens_in_memory(),
            self.late_adoption(),
            self.open_uploads(),
            self.plain_redis(),
            self.short_operator_key(),
            self.short_api_keys(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn classic_tokens_in_memory(&self) -> Option<String> {
        let classic = self
            .accounts
            .iter()
            .any(|account| account.token_api == TokenApi::Classic);
        (classic && self.credentials.backend == Backend::Memory).then(|| {
            "credentials.backend is \"memory\" and an account's token_api is \"classic\": a second replica would \
             kill this one's access_token; run one replica only, or set credentials.backend = \"redis\""
                .to_owned()
        })
    }

    fn late_adoption(&self) -> Option<String> {
        let credentials = &self.credentials;
        (credentials.adopt_interval >= credentials.refresh_ahead).then(|| {
            "credentials.adopt_interval is not shorter than credentials.refresh_ahead: replicas may learn of a \
             renewed credential only after the old one has expired"
                .to_owned()
        })
    }

    fn open_uploads(&self) -> Option<String> {
        let listen = self.server.listen;
        (self.auth.mode == AuthMode::None && !listen.ip().is_loopback()).then(|| {
            format!(
                "auth.mode is \"none\" and server.listen is {listen}: whoever reaches that address can upload; \
                 set auth.mode, or keep the route behind a proxy that knows its callers"
            )
        })
    }

    fn plain_redis(&self) -> Option<String> {
        let redis = &self.redis;
        let hosts: Vec<_> = match redis.mode {
            RedisMode::Standalone => vec![redis.url.host()],
            RedisMode::Sentinel | RedisMode::Cluster => redis.nodes.iter().map(super::values::HostPort::host).collect(),
        };
        let far = hosts.into_iter().find(|host| !is_loopback(host))?;
        (self.credentials.backend == Backend::Redis && !redis.url.is_tls()).then(|| {
            format!(
                "the connection to Redis at {far} is not encrypted, and credentials travel over it; use rediss:// in \
                 redis.url unless the network is yours alone"
            )
        })
    }

    fn short_operator_key(&self) -> Option<String> {
        let length = self.internal.operator_key.expose().chars().count();
        (1..SHORTEST_KEY)
            .contains(&length)
            .then(|| format!("internal.operator_key is shorter than {SHORTEST_KEY} characters and may be guessed"))
    }

    fn short_api_keys(&self) -> Option<String> {
        let short = self
            .auth
            .api_keys
            .iter()
            .any(|key| key.expose().chars().count() < SHORTEST_KEY);
        (self.auth.mode == AuthMode::ApiKey && short)
            .then(|| format!("a key of auth.api_keys is shorter than {SHORTEST_KEY} characters and may be guessed"))
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
