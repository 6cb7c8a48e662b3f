//! The cluster and everything that it depends on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use wxgate::sandbox::{Api, SandboxAccount, SandboxConfig};

use crate::pictures::{self, Service, Sum};
use crate::replica::Replica;
use crate::store_proxy::StoreProxy;
use crate::support::{
    Caller, Gateway, GatewayBuilder, GatewayProcess, RedisServer, S3Server, SandboxHost, Sentinel, Tls, account,
    compile_preloaded,
};

pub const GATEWAYS: usize = 3;

/// The longest that a failover may take; a sentinel that has failed at one waits before the next.
pub const FAILOVER: Duration = Duration::from_mins(1);

/// The secret of the SDKs.
pub const CLIENT_SECRET: &str = "a-secret-of-the-crm-0123456789abcdef";

/// The names by which the gateways find WeChat and the stores.
pub const WECHAT: &str = "wechat.test";
pub const STORE: &str = "store.test";

/// The accounts: one with stable tokens, one with classic ones.
pub const STABLE: usize = 0;
pub const CLASSIC: usize = 1;

/// Which store the gateways use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Service,
    S3,
}

pub struct World {
    pub wechat: Arc<SandboxHost>,
    pub service: Service,
    pub service_proxy: StoreProxy,
    pub s3: S3Server,
    pub s3_proxy: StoreProxy,
    /// Master and replica; which is which changes.
    pub redis: tokio::sync::Mutex<[RedisServer; 2]>,
    pub gateways: Vec<Replica>,
    pub names: Names,
    /// The library that looks them up.
    resolver: PathBuf,
    _folder: tempfile::TempDir,
    backend: Mutex<Backend>,
    sentinel: Sentinel,
    tls: Arc<Tls>,
}

/// What the names of WeChat and the stores resolve to in the gateways (names.c).
pub struct Names(tempfile::TempDir);

impl Names {
    fn new() -> Self {
        let names = Self(tempfile::tempdir().unwrap());
        for name in [WECHAT, STORE] {
            names.set(name, true);
        }
        names
    }

    /// Sets whether `name` resolves.
    pub fn set(&self, name: &str, resolves: bool) {
        let file = self.0.path().join(name);
        if resolves {
            std::fs::write(file, "").unwrap();
        } else {
            std::fs::remove_file(file).unwrap();
        }
    }
}

impl World {
    pub async fn start() -> Self {
        let tls = Tls::new();
        let master = RedisServer::start_with_tls(&tls, &[]).await;
        let port = master.address.port().to_string();
        let replica = RedisServer::start_with_tls(&tls, &["--replicaof", "127.0.0.1", &port]).await;
        let sentinel = Sentinel::start(&master, &tls).await;
        // More than the two seconds after which a sentinel takes the machine, not the master, for what stalls.
        sentinel.set_patience(Duration::from_millis(2500)).await;
        let wechat = SandboxHost::start(short_lives()).await;
        let (service, address) = Service::start().await;
        let s3 = S3Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            service,
            service_proxy: StoreProxy::before(address).await,
            s3_proxy: StoreProxy::before(s3.address).await,
            s3,
            redis: tokio::sync::Mutex::new([master, replica]),
            gateways: (0..GATEWAYS).map(|_| Replica::new(&wechat)).collect(),
            names: Names::new(),
            resolver: compile_preloaded("tests/soak/names.c", folder.path()),
            _folder: folder,
            backend: Mutex::new(Backend::Service),
            sentinel,
            tls,
            wechat,
        };
        for gateway in 0..GATEWAYS {
            world.start_gateway(gateway, None).await;
            world.gateways[gateway].caller.until_ready().await;
        }
        world
    }

    /// Starts gateway number `index`, with at most this many open files.
    pub async fn start_gateway(&self, index: usize, open_files: Option<usize>) {
        let replica = &self.gateways[index];
        let files = open_files.unwrap_or(4096);
        let process = GatewayProcess::start_with_open_files(files, &self.builder(replica), &self.wechat).await;
        replica.set_process(process).await;
    }

    fn builder(&self, replica: &Replica) -> GatewayBuilder {
        let builder = match *self.backend.lock().unwrap() {
            Backend::Service => Gateway::builder()
                .set("image_store.backend", "http")
                .set(
                    "image_store.http.url",
                    format!("http://{STORE}:{}/upload", self.service_proxy.address.port()),
                )
                .set("image_store.http.timeout", "5s"),
            Backend::S3 => S3Server::used_at(format!("http://{STORE}:{}", self.s3_proxy.address.port())),
        };
        let Caller { address, internal, .. } = &replica.caller;
        let classic = self.account(CLASSIC);
        replica
            .clock
            .of(builder, &[&self.resolver])
            .variable("NAMES", self.names.0.path().display())
            .set("wechat.api_base_url", self.wechat.url().replace("127.0.0.1", WECHAT))
            .set("server.listen", address)
            .set("internal.listen", internal)
            .set("internal.clients.0.name", "crm")
            .set("internal.clients.0.secret", CLIENT_SECRET)
            .set("credentials.backend", "redis")
            .set("credentials.daily_token_calls", 0)
            // Shorter than what a credential has left at its renewal, whose holder may be killed.
            .set("credentials.lock_ttl", "9s")
            .set("server.shutdown_grace", "10s")
            .set("accounts.1.app_id", classic.app_id)
            .set("accounts.1.app_secret", classic.secret.expose())
            .set("accounts.1.token_api", "classic")
            .set("redis.mode", "sentinel")
            .set("redis.url", "rediss://127.0.0.1/0")
            .set("redis.nodes", self.sentinel.address)
            .set("http_client.ca_file", self.tls.authority().display())
    }

    pub fn account(&self, number: usize) -> SandboxAccount {
        self.wechat.sandbox.config().accounts[number].clone()
    }

    /// Has the gateways use the other store from their next start on.
    pub fn changes_store(&self) {
        let mut backend = self.backend.lock().unwrap();
        *backend = match *backend {
            Backend::Service => Backend::S3,
            Backend::S3 => Backend::Service,
        };
    }

    /// The picture at `url`, from the store that made that URL.
    pub fn picture(&self, url: &str) -> Option<Sum> {
        match url.strip_prefix("https://images.example.com/") {
            Some(key) => std::fs::read(self.s3.bucket().join(key))
                .ok()
                .map(|bytes| pictures::sum(&bytes)),
            None => self.service.at(url),
        }
    }

    /// The sums of every picture in both stores.
    pub fn pictures(&self) -> Vec<Sum> {
        let mut sums = self.service.sums();
        let mut folders = vec![self.s3.bucket()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    sums.push(pictures::sum(&std::fs::read(path).unwrap()));
                }
            }
        }
        sums
    }

    /// The files in which the S3 server keeps uploads that are not finished, and when each was written.
    pub fn parts(&self) -> Vec<(String, SystemTime)> {
        let root = self.s3.bucket();
        let files = std::fs::read_dir(root.parent().unwrap()).unwrap().map(Result::unwrap);
        let named = files.map(|file| (file.file_name().to_string_lossy().into_owned(), file));
        let parts = named.filter(|(name, _)| name.starts_with(".upload") || name.starts_with(".tmp"));
        parts
            .map(|(name, file)| (name, file.metadata().unwrap().modified().unwrap()))
            .collect()
    }

    /// How many connections to the stores have met a fault.
    pub fn disturbed_connections(&self) -> u64 {
        self.service_proxy.disturbed() + self.s3_proxy.disturbed()
    }

    /// The index of the master that the sentinel names, once no failover is under way.
    pub async fn master(&self, servers: &[RedisServer; 2]) -> usize {
        let end = Instant::now() + FAILOVER;
        while Instant::now() < end {
            let address = self.sentinel.good_master().await;
            let index = servers.iter().position(|server| Some(server.address) == address);
            if let Some(index) = index
                && servers[index].role().await.as_deref() == Some("master")
            {
                return index;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("the sentinel names no master");
    }

    /// Drains the gateways, and fails if one of them leaves an upload, a lock or its mark behind.
    pub async fn drains_without_remains(&self) {
        for gateway in &self.gateways {
            gateway.caller.until_it_says("ready").await;
            assert!(gateway.caller.metric("wxgate_uploads_in_flight").await < 0.5);
        }
        for gateway in &self.gateways {
            gateway.stop(false).await;
        }
        let servers = self.redis.lock().await;
        let master = self.master(&servers).await;
        let keys = servers[master].keys().await;
        let left = keys.iter().filter(|key| {
            // The lease on a photo is left to expire once its URL is there.
            let photo = key
                .strip_prefix("wxgate:media-lock:{")
                .map(|key| key.trim_end_matches('}'));
            let lost = photo.is_some_and(|photo| !keys.iter().any(|key| key == photo));
            let is_of_running = |prefix| key.starts_with(prefix);
            lost || ["weChatApiToken:", "wxgate:ticket_lock:", "wxgate:replica:"]
                .into_iter()
                .any(is_of_running)
        });
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "left in Redis: {left:?}");
    }

    /// What the gateways have logged since the last call of this, each line after the gateway's number.
    pub async fn take_logs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, gateway) in self.gateways.iter().enumerate() {
            let log = gateway.take_log().await;
            lines.extend(log.iter().map(|line| format!("{number} {line}")));
        }
        lines
    }
}

/// WeChat with tokens and tickets that live for a minute, and no quota that a soak could use up. In a token's last
/// twenty seconds WeChat issues another one, so that a renewal gets one even if it comes too early: lives are given in
/// whole seconds and count from before a slow answer.
fn short_lives() -> SandboxConfig {
    let minute = Duration::from_mins(1);
    let apis = [
        Api::Token,
        Api::StableToken,
        Api::GetTicket,
        Api::MediaGet,
        Api::MediaUpload,
        Api::GetCallbackIp,
    ];
    SandboxConfig {
        token_ttl: minute,
        token_overlap: Some(Duration::from_secs(20)),
        ticket_ttl: minute,
        media_capacity: 256 * 1024 * 1024,
        daily_calls: apis.into_iter().map(|api| (api, 1_000_000_000)).collect(),
        force_refresh_interval: Duration::from_secs(5),
        daily_force_refreshes: 1_000_000,
        ..SandboxConfig::with_accounts(vec![
            SandboxAccount::default(),
            account("wx00c1a551c0000001", "the-secret-of-the-classic-account"),
        ])
    }
}
