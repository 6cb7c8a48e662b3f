//! What runs: the cluster and all that it depends on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wxgate::sandbox::{Api, SandboxAccount, SandboxConfig};

use crate::door::Door;
use crate::pictures::{self, Service, Sum};
use crate::support::{
    Caller, Gateway, GatewayBuilder, GatewayProcess, RedisServer, S3Server, SandboxHost, Sentinel, Tls,
    compile_preloaded, free_address, until,
};

pub const GATEWAYS: usize = 3;

/// The clients that may ask for the token, by their secrets.
pub const CLIENT_SECRET: &str = "a-secret-of-the-crm-0123456789abcdef";

/// The names by which the gateways find WeChat and the stores.
pub const WECHAT: &str = "wechat.test";
pub const STORE: &str = "store.test";

/// Which store the gateways use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Service,
    S3,
}

pub struct World {
    pub wechat: Arc<SandboxHost>,
    pub service: Service,
    pub service_door: Door,
    pub s3: S3Server,
    pub s3_door: Door,
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

/// A gateway that comes back at the same addresses.
pub struct Replica {
    pub caller: Caller,
    /// Its wall clock: how far it is ahead of the machine's, as libfaketime reads it. Timers don't follow it.
    clock: tempfile::NamedTempFile,
    addresses: [SocketAddr; 2],
    process: tokio::sync::Mutex<Option<GatewayProcess>>,
    /// The logs of processes that have ended.
    logs: Mutex<Vec<String>>,
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
        let wechat = SandboxHost::start(short_lives()).await;
        let (service, address) = Service::start().await;
        let s3 = S3Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            service,
            service_door: Door::before(address).await,
            s3_door: Door::before(s3.address).await,
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
        *replica.process.lock().await = Some(process);
    }

    fn builder(&self, replica: &Replica) -> GatewayBuilder {
        let builder = match self.backend() {
            Backend::Service => Gateway::builder()
                .set("image_store.backend", "http")
                .set(
                    "image_store.http.url",
                    format!("http://{STORE}:{}/upload", self.service_door.address.port()),
                )
                .set("image_store.http.timeout", "5s"),
            Backend::S3 => S3Server::used_at(format!("http://{STORE}:{}", self.s3_door.address.port())),
        };
        let [public, internal] = replica.addresses;
        builder
            .variable("LD_PRELOAD", format!("{}:{}", fake_clock(), self.resolver.display()))
            .variable("NAMES", self.names.0.path().display())
            .variable("FAKETIME_TIMESTAMP_FILE", replica.clock.path().display())
            .variable("FAKETIME_CACHE_DURATION", 1)
            .variable("DONT_FAKE_MONOTONIC", 1)
            .set("wechat.api_base_url", self.wechat.url().replace("127.0.0.1", WECHAT))
            .set("server.listen", public)
            .set("internal.listen", internal)
            .set("internal.clients.0.name", "crm")
            .set("internal.clients.0.secret", CLIENT_SECRET)
            .set("credentials.backend", "redis")
            .set("credentials.daily_token_calls", 0)
            .set("redis.mode", "sentinel")
            .set("redis.url", "rediss://127.0.0.1/0")
            .set("redis.nodes", self.sentinel.address)
            .set("http_client.ca_file", self.tls.authority().display())
    }

    pub fn backend(&self) -> Backend {
        *self.backend.lock().unwrap()
    }

    /// Which store the gateways use from their next start on.
    pub fn set_backend(&self, backend: Backend) {
        *self.backend.lock().unwrap() = backend;
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

    /// Every object in the bucket: its key and its bytes' sum.
    pub fn objects(&self) -> Vec<Sum> {
        fn walk(folder: &std::path::Path, found: &mut Vec<Sum>) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else if !entry.file_name().to_string_lossy().starts_with('.') {
                    found.push(pictures::sum(&std::fs::read(path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.s3.bucket(), &mut found);
        found
    }

    /// The index of the master among the two.
    pub async fn master(servers: &[RedisServer; 2]) -> Option<usize> {
        for (index, server) in servers.iter().enumerate() {
            if server.role().await.as_deref() == Some("master") {
                return Some(index);
            }
        }
        None
    }

    /// Nothing is locked, and no upload is under way.
    pub async fn assert_nothing_is_left(&self) {
        let servers = self.redis.lock().await;
        until("no lock is held", || async {
            let Some(master) = Self::master(&servers).await else {
                return false;
            };
            let keys = servers[master].keys().await;
            !keys
                .iter()
                .any(|key| key.contains("media-lock") || key.starts_with("weChatApiToken"))
        })
        .await;
        for gateway in &self.gateways {
            gateway.caller.until_it_says("ready").await;
            assert!(gateway.caller.metric("wxgate_uploads_in_flight").await < 0.5);
        }
    }

    /// Every line that any gateway has logged.
    pub async fn logs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for gateway in &self.gateways {
            lines.extend(gateway.logs.lock().unwrap().clone());
            if let Some(process) = &*gateway.process.lock().await {
                lines.extend(process.log());
            }
        }
        lines
    }
}

impl Replica {
    fn new(wechat: &Arc<SandboxHost>) -> Self {
        let addresses = [free_address(), free_address()];
        let replica = Self {
            clock: tempfile::NamedTempFile::new().unwrap(),
            caller: Caller::new(addresses[0], addresses[1], wechat),
            addresses,
            process: tokio::sync::Mutex::new(None),
            logs: Mutex::default(),
        };
        replica.set_clock(Duration::ZERO);
        replica
    }

    /// Steps its wall clock.
    pub fn set_clock(&self, ahead: Duration) {
        std::fs::write(self.clock.path(), format!("+{}s", ahead.as_secs())).unwrap();
    }

    /// Resident memory in KiB and open files, if it runs.
    pub async fn size(&self) -> Option<(u64, usize)> {
        let process = self.process.lock().await;
        let process = process.as_ref()?;
        let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).ok()?.count();
        Some((process.memory("VmRSS:"), files))
    }

    pub async fn signal(&self, name: &str) {
        if let Some(process) = &*self.process.lock().await {
            process.signal(name);
        }
    }

    /// Ends it: as a power cut would, or with all that it has begun.
    pub async fn stop(&self, at_once: bool) {
        let Some(mut process) = self.process.lock().await.take() else {
            return;
        };
        if at_once {
            process.kill();
        } else {
            process.signal("TERM");
            let status = process.ended().await;
            assert!(status.success(), "the drain failed: {status}");
        }
        self.logs.lock().unwrap().extend(process.log());
    }
}

/// The library that gives a process a wall clock of its own.
fn fake_clock() -> String {
    let found = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    found.expect("libfaketime is not installed: run scripts/test, which installs what the tests need")
}

/// WeChat with tokens and tickets that live for a minute, and no quota that a soak could use up.
fn short_lives() -> SandboxConfig {
    let minute = Duration::from_mins(1);
    let apis = [
        Api::StableToken,
        Api::GetTicket,
        Api::MediaGet,
        Api::MediaUpload,
        Api::GetCallbackIp,
    ];
    SandboxConfig {
        token_ttl: minute,
        ticket_ttl: minute,
        media_capacity: 64 * 1024 * 1024,
        daily_token_calls: 1_000_000,
        daily_calls: apis.into_iter().map(|api| (api, 1_000_000_000)).collect(),
        force_refresh_interval: Duration::from_secs(5),
        daily_force_refreshes: 1_000_000,
        ..SandboxConfig::with_accounts(vec![SandboxAccount::default()])
    }
}
