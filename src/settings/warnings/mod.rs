//! Settings that are allowed, but risky.

mod bucket;
mod secrets;

use std::net::IpAddr;

pub(in crate::settings) use secrets::is_app_secret;

use super::values::{BaseUrl, is_loopback};
use super::{AuthMode, Backend, RedisMode, Settings, TokenApi};

impl Settings {
    /// What is legal but risky, a sentence each, for the log at start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        [
            self.classic_tokens_in_memory(),
            self.late_adoption(),
            self.open_uploads(),
            self.plain_redis(),
            self.plain_wechat(),
            self.trusted_by_everybody(),
            self.public_internal_listener(),
            bucket::warning(self),
        ]
        .into_iter()
        .flatten()
        .chain(secrets::warnings(self))
        .collect()
    }

    fn classic_tokens_in_memory(&self) -> Option<String> {
        let classic = self
            .accounts
            .iter()
            .any(|account| account.token_api == TokenApi::Classic);
        (classic && self.credentials.backend == Backend::Memory).then(|| {
            "credentials.backend is \"memory\" and an account's token_api is \"classic\": a second replica would \
             invalidate this one's access_token; run one replica only, or set credentials.backend = \"redis\""
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
                "auth.mode is \"none\" and server.listen is {listen}: anybody who reaches that address can upload; \
                 set auth.mode, or keep the route behind a proxy that authenticates callers"
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
                "the connection to Redis at {far} is not encrypted, and credentials are sent over it; use rediss:// in \
                 redis.url unless the network is private"
            )
        })
    }

    fn plain_wechat(&self) -> Option<String> {
        let wechat = &self.wechat;
        let bases = std::iter::once(("api_base_url", &wechat.api_base_url))
            .chain(wechat.fallback_base_urls.iter().map(|url| ("fallback_base_urls", url)));
        let plain = |url: &BaseUrl| {
            let host = url.as_str().strip_prefix("http://")?;
            let host = host.split('/').next().unwrap_or_default();
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            (!is_loopback(name) && !is_loopback(host)).then(|| host.to_owned())
        };
        bases.into_iter().find_map(|(key, url)| {
            let host = plain(url)?;
            Some(format!(
                "wechat.{key} reaches {host} over plain http, and the AppSecret and every token are sent over it; use https"
            ))
        })
    }

    fn trusted_by_everybody(&self) -> Option<String> {
        let everything = self.server.trusted_proxies.iter().find(|net| net.prefix_len() == 0)?;
        Some(format!(
            "server.trusted_proxies has {everything}: anybody who connects can claim any address in X-Forwarded-For, and rate \
             limits and logs will trust it; name the networks of your proxies"
        ))
    }

    fn public_internal_listener(&self) -> Option<String> {
        let listen = self.internal.listen.filter(|listen| is_public(listen.ip()))?;
        Some(format!(
            "internal.listen is {listen}, a public address: metrics, the console and the shared token are open to anybody who \
             reaches it; listen on a private address or on loopback"
        ))
    }
}

/// Whether `ip` is an address of the Internet. 0.0.0.0 is not: a container has to listen there, and what can reach it is
/// decided elsewhere.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0b1100_0000 == 64;
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_are_public() {
        for (ip, public) in [
            ("8.8.8.8", true),
            ("2400:3200::1", true),
            ("::ffff:8.8.8.8", true),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.0.1", false),
            ("169.254.1.1", false),
            ("100.64.0.1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
