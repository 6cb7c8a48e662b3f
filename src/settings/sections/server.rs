//! `[server]` and `[internal]`: the two listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::values::{self, AsText};

/// `[server]`: the public listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    #[serde(with = "values::Address")]
    pub listen: SocketAddr,
    /// The longest a request may take before it is answered with 4003.
    #[serde(with = "values::PositiveDuration")]
    pub request_timeout: Duration,
    /// How long requests in flight may continue after SIGTERM.
    #[serde(with = "values::PositiveDuration")]
    pub shutdown_grace: Duration,
    /// How long the gateway still serves after SIGTERM, with `/readyz` at 503, before the drain begins.
    #[serde(with = "values::DurationOrZero")]
    pub shutdown_delay: Duration,
    /// Proxies whose `X-Forwarded-For` is trusted.
    #[serde(deserialize_with = "values::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call the two business routes; `*` allows all of them.
    pub cors_allowed_origins: Vec<values::Origin>,
    /// Request headers that those pages may send, besides the gateway's own and those of traces.
    pub cors_allowed_headers: Vec<values::HeaderName>,
    /// Whether those pages may send cookies; not together with `*`.
    pub cors_allow_credentials: bool,
    /// The path under which pages reach the gateway, if a proxy publishes it below one.
    pub base_path: values::BasePath,
    /// Whether `/docs` and `/openapi.json` are served.
    pub docs: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            request_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(15),
            shutdown_delay: Duration::ZERO,
            trusted_proxies: Vec::new(),
            cors_allowed_origins: Vec::new(),
            cors_allowed_headers: Vec::new(),
            cors_allow_credentials: false,
            base_path: values::BasePath::default(),
            docs: true,
        }
    }
}

/// `[internal]`: the listener for operators and for the company's other services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Address and port to listen on; `""` turns the listener off.
    #[serde(with = "values::OptionalAddress")]
    pub listen: Option<SocketAddr>,
    /// Whether other WeChat API paths are passed through.
    pub proxy: bool,
    /// A certificate chain in PEM; with the key, the listener speaks TLS and nothing else.
    pub tls_certificate_file: PathBuf,
    /// The certificate's key in PEM.
    pub tls_key_file: PathBuf,
    /// Authorises the operator's actions; if it is empty, they are disabled.
    pub operator_key: Secret,
    /// What the bodies of all calls that are passed through may hold in memory.
    #[serde(with = "values::Size")]
    pub proxy_buffer: u64,
    /// The least life that a caller is promised with the token or the ticket (`expires_in`).
    #[serde(with = "values::DurationOrZero")]
    pub min_expires_in: Duration,
    /// The path under which people reach the console, if a proxy publishes it below one.
    pub base_path: values::BasePath,
    /// The names under which people reach the console, besides addresses and `localhost`; an empty list means any.
    pub allowed_hosts: Vec<values::HostPattern>,
    /// Services that may ask for the shared token, besides those that hold the AppSecret.
    pub clients: Vec<Client>,
}

impl Default for Internal {
    fn default() -> Self {
        Self {
            listen: Some(loopback(9090)),
            proxy: true,
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            operator_key: Secret::default(),
            proxy_buffer: 64 * bytesize::MIB,
            min_expires_in: Duration::ZERO,
            base_path: values::BasePath::default(),
            allowed_hosts: Vec::new(),
            clients: Vec::new(),
        }
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
    /// The least life that it is promised; zero: as `internal.min_expires_in` says.
    #[serde(with = "values::DurationOrZero")]
    pub min_expires_in: Duration,
}

impl Client {
    /// Whether it may ask for the account `app_id`.
    #[must_use]
    pub fn may_use(&self, app_id: &AppId) -> bool {
        self.app_ids.is_empty() || self.app_ids.contains(app_id)
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
