//! What the operator writes: TOML and environment, checked at start and parsed into real types,
//! so that later code can't meet nonsense. One struct per section; the field docs are the manual.

mod bounds;
mod defaults;
mod environment;
mod file;
mod headers;
mod layer;
mod load;
mod problem;
mod reader;
pub mod resolved;
mod schema;
#[cfg(test)]
mod tests;
mod validate;
pub mod values;
mod warnings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::account::AppId;
use crate::jssdk::JsDomain;
use crate::secret::Secret;

pub use load::{Partial, Sources};
pub use problem::{Problem, Problems};

/// Everything an operator can set, complete and checked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The public listener.
    pub server: Server,
    /// The internal listener.
    pub internal: Internal,
    /// Every outgoing HTTP connection.
    pub http_client: HttpClient,
    /// How WeChat is reached.
    pub wechat: WeChat,
    /// The WeChat accounts; the first is the default one.
    pub accounts: Vec<Account>,
    /// How `access_token` and `jsapi_ticket` are kept.
    pub credentials: Credentials,
    /// The Redis that replicas share.
    pub redis: Redis,
    /// What may be uploaded.
    pub media: Media,
    /// Where pictures go.
    pub image_store: ImageStore,
    /// Who may use the upload route.
    pub auth: Auth,
    /// Requests per client address.
    pub rate_limit: RateLimit,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// What the program uses of the sections that come in several kinds. Loading makes it.
    #[serde(skip)]
    pub resolved: resolved::Resolved,
}

/// `[server]`: the public listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    #[serde(with = "values::address")]
    pub listen: SocketAddr,
    /// The longest a request may take before it is answered with 4003.
    #[serde(with = "values::duration")]
    pub request_timeout: Duration,
    /// How long requests in flight may go on after SIGTERM.
    #[serde(with = "values::duration")]
    pub shutdown_grace: Duration,
    /// How long the gateway still serves after SIGTERM, with `/readyz` at 503, before the drain begins.
    #[serde(with = "values::duration_or_zero")]
    pub shutdown_delay: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(with = "values::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call the two business routes; `*` allows every one.
    pub cors_allowed_origins: Vec<values::Origin>,
    /// Whether `/docs` and `/openapi.json` are served.
    pub docs: bool,
}

/// `[internal]`: the listener for operators and for the company's other services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Address and port to listen on; `""` turns the listener off.
    #[serde(with = "values::optional_address")]
    pub listen: Option<SocketAddr>,
    /// Whether other WeChat API paths are passed through.
    pub proxy: bool,
    /// Opens the operator's actions; empty leaves them closed.
    pub operator_key: Secret,
    /// Services that may ask for the shared token, besides holders of the AppSecret.
    pub clients: Vec<Client>,
}

/// `[[internal.clients]]`: one service that may ask for the shared token.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Its name in the journal and in metrics.
    pub name: String,
    /// What it sends as `secret`.
    pub secret: Secret,
    /// The accounts it may ask for; none given means all.
    pub app_ids: Vec<AppId>,
}

/// `[http_client]`: every outgoing HTTP connection, to WeChat and to the company's own services.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClient {
    /// The forward proxy: the environment's, none, or this one, with user and password where needed.
    pub proxy: values::HttpProxy,
    /// Hosts, domains and networks reached without it; `NO_PROXY` counts as well with the environment's.
    pub no_proxy: Vec<values::DirectHost>,
    /// Certificate authorities trusted beside the system's, a PEM bundle; for Redis too.
    pub ca_file: values::CaFile,
}

/// `[wechat]`: how WeChat is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeChat {
    /// Scheme and host of WeChat's API.
    pub api_base_url: values::BaseUrl,
    /// Hosts tried in turn when no connection to the one before can be made.
    pub fallback_base_urls: Vec<values::BaseUrl>,
    /// The longest a connection may take to stand.
    #[serde(with = "values::duration")]
    pub connect_timeout: Duration,
    /// The longest one API call may take, and a media download may stall.
    #[serde(with = "values::duration")]
    pub timeout: Duration,
    /// The longest a whole media download may take.
    #[serde(with = "values::duration")]
    pub media_timeout: Duration,
}

/// Which of WeChat's two token calls an account uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenApi {
    /// `POST /cgi-bin/stable_token`: asking twice gives the same token.
    #[default]
    Stable,
    /// `GET /cgi-bin/token`: every call kills the token before.
    Classic,
}

/// `[[accounts]]`: one WeChat account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// The account's AppID.
    pub app_id: AppId,
    /// The account's AppSecret.
    pub app_secret: Secret,
    /// Which token call is used.
    pub token_api: TokenApi,
    /// The domains whose pages are signed, as in WeChat's console; empty allows every page.
    pub js_domains: Vec<JsDomain>,
}

/// Where credentials are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In this process alone.
    #[default]
    Memory,
    /// In Redis, for all replicas.
    Redis,
}

/// `[credentials]`: how `access_token` and `jsapi_ticket` are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// Where they are shared.
    pub backend: Backend,
    /// How long before expiry they are renewed.
    #[serde(with = "values::duration")]
    pub refresh_ahead: Duration,
    /// How often the ticket is asked for anew at least.
    #[serde(with = "values::duration")]
    pub ticket_max_age: Duration,
    /// Token calls per account, cluster and day; 0 means no limit.
    pub daily_token_calls: u32,
    /// How often a replica looks for what another one renewed.
    #[serde(with = "values::duration")]
    pub adopt_interval: Duration,
    /// How long the lock outlives a holder that died.
    #[serde(with = "values::duration")]
    pub lock_ttl: Duration,
    /// The longest anybody waits for the lock.
    #[serde(with = "values::duration")]
    pub lock_wait: Duration,
    /// Where the token stands in Redis.
    pub token_key: values::KeyTemplate,
    /// Where the ticket stands in Redis.
    pub ticket_key: values::KeyTemplate,
    /// Where the lock stands in Redis.
    pub lock_key: values::KeyTemplate,
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
    /// A cluster, entered by `redis.nodes`.
    Cluster,
}

/// `[redis]`: the Redis that replicas share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// How the servers are arranged.
    pub mode: RedisMode,
    /// The standalone server; `rediss://` for TLS. In the other modes its scheme, database and
    /// nothing else is used.
    pub url: values::RedisUrl,
    /// Addresses of sentinels or cluster nodes, `host:port`.
    pub nodes: Vec<values::HostPort>,
    /// The name of the master in the sentinels' configuration.
    pub sentinel_service: String,
    /// ACL user.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// The longest a connection may take to stand.
    #[serde(with = "values::duration")]
    pub connect_timeout: Duration,
    /// The longest one command may take.
    #[serde(with = "values::duration")]
    pub response_timeout: Duration,
}

/// `[media]`: what may be uploaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// The largest picture, in bytes.
    #[serde(with = "values::size")]
    pub max_bytes: u64,
    /// The kinds of picture that are stored.
    pub allowed_types: Vec<crate::picture::Kind>,
    /// How long a mediaId uploaded once answers the same URL; zero turns it off.
    #[serde(with = "values::duration_or_zero")]
    pub remember_for: Duration,
    /// Uploads under way at once.
    pub max_concurrent: usize,
}

/// Which image store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStoreBackend {
    /// A folder, served by the gateway itself.
    #[default]
    Local,
    /// An upload service.
    Http,
    /// An S3-compatible store.
    S3,
}

/// `[image_store]`: where pictures go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageStore {
    /// Which of the three below is used.
    pub backend: ImageStoreBackend,
    /// A folder.
    pub local: LocalStore,
    /// An upload service.
    pub http: HttpStore,
    /// An S3-compatible store.
    pub s3: S3Store,
}

/// `[image_store.local]`: a folder, served by the gateway itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalStore {
    /// The folder; made if it does not exist.
    pub directory: PathBuf,
    /// What the URL answered begins with: a path of this gateway, or an address in front of it.
    pub public_base_url: values::PublicBase,
}

/// `[image_store.http]`: an upload service that takes multipart/form-data and answers JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpStore {
    /// Where pictures are posted.
    #[serde(with = "values::optional_url")]
    pub url: Option<Url>,
    /// The name of the file's form field.
    pub field: String,
    /// Headers sent along, by name in lower case; their values are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Where in the answer success is told, as a JSON Pointer; empty: the status alone tells.
    pub success_pointer: values::JsonPointer,
    /// What stands there on success.
    pub success_value: values::Scalar,
    /// Where in the answer the picture's URL stands.
    pub url_pointer: values::JsonPointer,
    /// The longest one upload may take.
    #[serde(with = "values::duration")]
    pub timeout: Duration,
    /// How often a picture is tried, each time with a fresh download.
    pub attempts: u32,
}

/// `[image_store.s3]`: any S3-compatible store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Store {
    /// The store's address; empty means AWS.
    #[serde(with = "values::optional_url")]
    pub endpoint: Option<Url>,
    /// Region.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// What every object's key begins with.
    pub prefix: String,
    /// Access key id; without it and the secret, the machine's role counts.
    pub access_key_id: Secret,
    /// Secret access key.
    pub secret_access_key: Secret,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The URL answered is this plus the object's key.
    #[serde(with = "values::optional_url")]
    pub public_base_url: Option<Url>,
}

/// How callers of the upload route are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all.
    #[default]
    None,
    /// By a key.
    ApiKey,
    /// By a JSON Web Token.
    Jwt,
}

/// The algorithm that JSON Web Tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RFC 7518's and RFC 8037's")]
pub enum JwtAlgorithm {
    #[default]
    HS256,
    RS256,
    ES256,
    EdDSA,
}

/// `[auth]`: who may use the upload route; the jsSDK route is public.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How callers are known.
    pub mode: AuthMode,
    /// The keys, in `X-Api-Key` or as a bearer token.
    pub api_keys: values::SecretList,
    /// The one algorithm accepted.
    pub jwt_algorithm: JwtAlgorithm,
    /// The shared secret, or the public key in PEM.
    pub jwt_key: Secret,
    /// The audience a token must name; empty: any.
    pub jwt_audience: String,
    /// The issuer a token must name; empty: any.
    pub jwt_issuer: String,
}

/// `[rate_limit]`: requests per second and client address; 0 turns a limit off.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Signatures per second.
    pub jssdk_per_second: u32,
    /// Signatures at once.
    pub jssdk_burst: u32,
    /// Uploads per second.
    pub upload_per_second: u32,
    /// Uploads at once.
    pub upload_burst: u32,
}

/// A limit that is turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// The limit on signatures, if there is one.
    #[must_use]
    pub fn jssdk(&self) -> Option<Rate> {
        Rate::new(self.jssdk_per_second, self.jssdk_burst)
    }

    /// The limit on uploads, if there is one.
    #[must_use]
    pub fn upload(&self) -> Option<Rate> {
        Rate::new(self.upload_per_second, self.upload_burst)
    }
}

impl Rate {
    /// A burst of 0 means as many as one second allows.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(per_second);
        Some(Self { per_second, burst })
    }
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[telemetry]`: logs and traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The shape of log lines.
    pub log_format: LogFormat,
    /// A level, or a filter such as `wxgate=debug,info`.
    pub log_level: values::LogFilter,
    /// Where traces are sent; empty turns them off.
    #[serde(with = "values::optional_url")]
    pub otlp_endpoint: Option<Url>,
}
