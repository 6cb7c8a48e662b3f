//! A gateway in this process, on free ports, and the sandbox that it talks to.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wxgate::account::AppId;
use wxgate::app::{App, AppParts, replica_name};
use wxgate::sandbox::{Kill, Sandbox, SandboxAccount, SandboxConfig, Upload};
use wxgate::secret::Secret;
use wxgate::settings::{Settings, Sources};

use super::{Caller, RedisServer};

/// A sandbox on a free port; it ends with the test.
pub struct SandboxHost {
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl SandboxHost {
    pub async fn start(config: SandboxConfig) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sandbox, stop) = (Sandbox::new(config), CancellationToken::new());
        tokio::spawn(sandbox.clone().serve(listener, stop.clone()));
        Arc::new(Self { sandbox, address, stop })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The default account.
    pub fn account(&self) -> SandboxAccount {
        self.sandbox.config().accounts[0].clone()
    }

    /// A user takes a photo: its serverId.
    pub fn takes_photo(&self, bytes: &[u8]) -> String {
        let upload = Upload::new(bytes.to_vec());
        self.sandbox.upload_media(&self.account().app_id, upload).unwrap()
    }

    /// Another system has replaced the default account's token.
    pub fn kill_token(&self) {
        self.sandbox
            .kill_token(&self.account().app_id, Kill::default())
            .unwrap();
    }
}

impl Drop for SandboxHost {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Builds a gateway under test.
#[derive(Clone)]
pub struct GatewayBuilder {
    sandbox: Option<Arc<SandboxHost>>,
    env: Vec<(String, String)>,
    file: String,
    demo_page: bool,
}

/// A running gateway; it ends with the test.
pub struct Gateway {
    caller: Caller,
    pub images: tempfile::TempDir,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Gateway {
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder {
            sandbox: None,
            env: Vec::new(),
            file: String::new(),
            demo_page: false,
        }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Drains the gateway and waits until it has ended.
    pub async fn shut_down(mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
    }
}

impl GatewayBuilder {
    /// Uses this sandbox instead of its own.
    pub fn wechat(mut self, sandbox: &Arc<SandboxHost>) -> Self {
        self.sandbox = Some(Arc::clone(sandbox));
        self
    }

    /// A setting, named as in the environment: `server.listen`.
    pub fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        let name = format!("WXGATE__{}", key.replace('.', "__").to_uppercase());
        self.variable(&name, value)
    }

    /// All accounts of a sandbox; the first one is set anyway.
    pub fn accounts(mut self, accounts: &[SandboxAccount]) -> Self {
        for (index, account) in accounts.iter().enumerate().skip(1) {
            self = self
                .set(&format!("accounts.{index}.app_id"), &account.app_id)
                .set(&format!("accounts.{index}.app_secret"), account.secret.expose());
        }
        self
    }

    /// More lines for the settings file.
    pub fn file(mut self, lines: &str) -> Self {
        self.file.push_str(lines);
        self
    }

    /// Has the sandbox's page, as `wxgate serve --sandbox` has.
    #[allow(dead_code, reason = "used by the browser tests")]
    pub fn demo_page(mut self) -> Self {
        self.demo_page = true;
        self
    }

    /// The replicas of one cluster share their credentials in this Redis.
    pub fn redis(self, redis: &RedisServer) -> Self {
        self.set("credentials.backend", "redis")
            .set("redis.url", redis.url())
            .patient_with_redis()
    }

    /// On a busy machine Redis and its clients may take longer than the default of a second. What happens then has its
    /// own tests.
    pub fn patient_with_redis(self) -> Self {
        self.set("redis.connect_timeout", "5s")
            .set("redis.response_timeout", "5s")
    }

    /// Tokens come from `GET /cgi-bin/token`; each new one invalidates the one before.
    pub fn classic(self) -> Self {
        self.set("accounts.0.token_api", "classic")
    }

    /// An environment variable under its own name. It has an effect only on a process of its own.
    pub fn variable(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.env.retain(|(set, _)| set != name);
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// The gateway's settings, as environment variables.
    pub fn environment(&self, wechat: &SandboxHost, images: &std::path::Path) -> Vec<(String, String)> {
        let account = wechat.account();
        let own = [
            ("WXGATE__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("WXGATE__INTERNAL__LISTEN", "127.0.0.1:0".to_owned()),
            ("WXGATE__HTTP_CLIENT__PROXY", "none".to_owned()),
            ("WXGATE__WECHAT__API_BASE_URL", wechat.url()),
            ("WXGATE__IMAGE_STORE__LOCAL__DIRECTORY", images.display().to_string()),
            ("WXGATE_APP_ID", account.app_id.to_string()),
            ("WXGATE_APP_SECRET", account.secret.expose().to_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let is_set = |name: &str| {
            let mut set = self.env.iter().map(|(set, _)| set.trim_end_matches("_FILE"));
            set.any(|set| set == name)
        };
        own.filter(|(name, _)| !is_set(name)).chain(self.env.clone()).collect()
    }

    pub async fn start(self) -> Gateway {
        let wechat = match &self.sandbox {
            Some(sandbox) => Arc::clone(sandbox),
            None => SandboxHost::start(SandboxConfig::default()).await,
        };
        let images = tempfile::tempdir().unwrap();
        let file = images.path().join(".wxgate.toml");
        std::fs::write(&file, &self.file).unwrap();
        let sources = Sources {
            file: Some(file),
            env: self.environment(&wechat, images.path()),
            ..Sources::default()
        };
        let settings = Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        let more = self.demo_page.then(|| wechat.sandbox.phone_router());
        let parts = AppParts {
            settings,
            replica: replica_name(),
            sandbox: more.unwrap_or_default(),
        };
        let app = App::build(parts).await.unwrap();
        let (address, internal) = (app.public_address().unwrap(), app.internal_address().unwrap());
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        Gateway {
            caller: Caller::new(address, internal, &wechat),
            images,
            stop,
            running,
        }
    }
}

impl std::ops::Deref for Gateway {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// This many accounts for a sandbox.
#[allow(dead_code, reason = "not every test binary needs several accounts")]
pub fn accounts(count: usize) -> Vec<SandboxAccount> {
    let number_of = |number| account(&format!("wx{number:016}"), &format!("{number:032}"));
    (0..count).map(number_of).collect()
}

/// A sandbox account with this AppID and secret.
#[allow(dead_code, reason = "not every test binary needs a second account")]
pub fn account(app_id: &str, secret: &str) -> SandboxAccount {
    SandboxAccount::new(AppId::try_from(app_id.to_owned()).unwrap(), Secret::new(secret))
}
