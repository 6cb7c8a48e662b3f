//! `[server]` and `[internal]`: the two listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::values::{self, AsText};

section! {
    /// `[server]`: the public listener.
    pub struct Server {
        /// Address and port to listen on.
        #[serde(deserialize_with = "values::address")]
        pub listen: SocketAddr = loopback(8080),
        /// The time limit of a request, after which it is answered with 4003.
        #[serde(with = "values::PositiveDuration")]
        pub request_timeout: Duration = Duration::from_secs(30),
        /// How long requests in flight may continue after SIGTERM.
        #[serde(with = "values::PositiveDuration")]
        pub shutdown_grace: Duration = Duration::from_secs(15),
        /// How long the gateway still serves after SIGTERM, with `/readyz` at 503, before the drain begins.
        #[serde(with = "values::DurationWithin::<0, 24>")]
        pub shutdown_delay: Duration = Duration::ZERO,
        /// Proxies whose `X-Forwarded-For` is trusted.
        #[serde(deserialize_with = "values::networks")]
        pub trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Origins whose pages may call the public routes; `*` allows all of them.
        pub cors_allowed_origins: Vec<values::Origin> = Vec::new(),
        /// Request headers that those pages may send, in addition to the gateway's own and trace headers.
        pub cors_allowed_headers: Vec<values::HeaderName> = Vec::new(),
        /// Whether those pages may send cookies; not together with `*`.
        pub cors_allow_credentials: bool = false,
        /// The path under which pages reach the gateway, if a proxy publishes it below one.
        pub base_path: values::BasePath = values::BasePath::default(),
        /// Whether `/docs` and `/openapi.json` are served.
        pub docs: bool = true,
    }
}

section! {
    /// `[internal]`: the listener for operators and for the company's other services.
    pub struct Internal {
        /// Address and port to listen on; `""` turns the listener off.
        #[serde(with = "values::OptionalAddress")]
        pub listen: Option<SocketAddr> = Some(loopback(9090)),
        /// Whether other WeChat API paths are passed through.
        pub proxy: bool = true,
        /// A certificate chain in PEM; with the key, the listener speaks TLS and nothing else.
        pub tls_certificate_file: PathBuf = PathBuf::new(),
        /// The certificate's key in PEM.
        pub tls_key_file: PathBuf = PathBuf::new(),
        /// Authorises the operator's actions; empty disables them.
        pub operator_key: Secret = Secret::default(),
        /// How much memory the bodies of all passed-through calls may hold together. One call may hold 64 KiB.
        #[serde(with = "values::SizeWithin::<{ 64 * bytesize::KIB }, { 64 * bytesize::GIB }>")]
        pub proxy_buffer: u64 = 64 * bytesize::MIB,
        /// The minimum lifetime promised with the token or the ticket (`expires_in`). For that long, a token that was
        /// handed out works through the pass-through, so more than the lifetime of WeChat's tokens is refused.
        #[serde(with = "values::DurationWithin::<0, 2>")]
        pub min_expires_in: Duration = Duration::ZERO,
        /// The path under which people reach the console, if a proxy publishes it below one.
        pub base_path: values::BasePath = values::BasePath::default(),
        /// The names under which people reach the console, besides IP addresses and `localhost`; an empty list means any.
        pub allowed_hosts: Vec<values::HostPattern> = Vec::new(),
        /// Services that may ask for the shared token, in addition to holders of the AppSecret.
        pub clients: Vec<Client> = Vec::new(),
    }
}

/// `[[internal.clients]]`: one service that may ask for the shared token.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Its name in the journal and in the log.
    pub name: String,
    /// What it sends as `secret`.
    pub secret: Secret,
    /// The accounts it may ask for; an empty list means all.
    pub app_ids: Vec<AppId>,
    /// The minimum lifetime promised to it; zero means `internal.min_expires_in`.
    #[serde(with = "values::DurationWithin::<0, 2>")]
    pub min_expires_in: Duration,
}

impl Client {
    /// Whether it may ask for the account `app_id`.
    pub fn may_use(&self, app_id: &AppId) -> bool {
        self.app_ids.is_empty() || self.app_ids.contains(app_id)
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
