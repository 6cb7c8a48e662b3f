//! A gateway in this process, on free ports, and the sandbox that it talks to.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wxgate::account::AppId;
use wxgate::app::App;
use wxgate::sandbox::{Sandbox, SandboxAccount, SandboxConfig, Upload};
use wxgate::secret::Secret;
use wxgate::settings::{Settings, Sources};

use super::until;

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
}

impl Drop for SandboxHost {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a gateway under test is made of.
pub struct GatewayBuilder {
    sandbox: Option<Arc<SandboxHost>>,
    env: Vec<(String, String)>,
    file: String,
}

/// A running gateway; it ends with the test.
pub struct Gateway {
    pub address: SocketAddr,
    pub internal: SocketAddr,
    pub wechat: Arc<SandboxHost>,
    pub images: tempfile::TempDir,
    client: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// Status and code, for short.
    pub fn code(&self) -> (u16, i64) {
        (self.status, self.body["code"].as_i64().unwrap_or(-1))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// Asserts what every envelope has.
    pub fn assert_envelope(&self) -> &Self {
        assert_eq!(
            self.header("content-type"),
            "application/json; charset=utf-8",
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        assert_eq!(self.body["traceId"], self.header("x-request-id"), "{self:?}");
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
        self
    }
}

impl Gateway {
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder {
            sandbox: None,
            env: Vec::new(),
            file: String::new(),
        }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(self.url(path))).await
    }

    /// A request of the test's own making.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await
    }

    /// A page asks to be signed, as a page should.
    pub async fn sign(&self, page: &str) -> Answer {
        self.get(&format!("/wechat/jsSDK?url={}", super::encode_uri_component(page)))
            .await
    }

    /// A page posts a serverId.
    pub async fn upload(&self, media_id: &str) -> Answer {
        let body = json!({ "mediaId": media_id });
        self.send(self.request("POST", "/p/active/weChatOa/upload").json(&body))
            .await
    }

    pub async fn internal_get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("http://{}{path}", self.internal)))
            .await
    }

    /// The value of a metric, its labels in Prometheus' order; 0 where it does not exist.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.internal_get("/metrics").await;
        let text = text.body.as_str().unwrap().to_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a warm credential of each kind is there.
    pub async fn until_ready(&self) {
        until("the gateway is ready", || async {
            self.get("/readyz").await.status == 200
        })
        .await;
    }

    /// Says whether the WeChat app would accept this answer's signature for `page`.
    pub fn wechat_accepts(&self, answer: &Answer, page: &str) -> bool {
        let mut config = answer.body["data"].as_object().unwrap().clone();
        config.insert("url".to_owned(), page.into());
        self.wechat.sandbox.verify(&config).is_ok()
    }

    /// Drains the gateway and waits until it has ended.
    pub async fn shut_down(mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
    }
}

impl GatewayBuilder {
    /// Talks to this sandbox rather than to one of its own.
    pub fn wechat(mut self, sandbox: &Arc<SandboxHost>) -> Self {
        self.sandbox = Some(Arc::clone(sandbox));
        self
    }

    /// A setting, named as in the environment: `server.listen`.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let name = format!("WXGATE__{}", key.replace('.', "__").to_uppercase());
        self.env.push((name, value.to_string()));
        self
    }

    /// More lines for the settings file.
    pub fn file(mut self, lines: &str) -> Self {
        self.file.push_str(lines);
        self
    }

    /// The settings that such a gateway runs with, as an environment.
    pub fn environment(&self, wechat: &SandboxHost, images: &std::path::Path) -> Vec<(String, String)> {
        let account = wechat.account();
        let own = [
            ("WXGATE__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("WXGATE__INTERNAL__LISTEN", "127.0.0.1:0".to_owned()),
            ("WXGATE__WECHAT__API_BASE_URL", wechat.url()),
            ("WXGATE__IMAGE_STORE__LOCAL__DIRECTORY", images.display().to_string()),
            ("WXGATE_APP_ID", account.app_id.to_string()),
            ("WXGATE_APP_SECRET", account.secret.expose().to_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.filter(|(name, _)| !self.env.iter().any(|(set, _)| set == name))
            .chain(self.env.clone())
            .collect()
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
        };
        let settings = Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        let app = App::build(settings, axum::Router::new()).await.unwrap();
        let (address, internal) = (app.public_address().unwrap(), app.internal_address().unwrap());
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Gateway {
            address,
            internal,
            wechat,
            images,
            client,
            stop,
            running,
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A sandbox account of the test's own naming.
#[allow(dead_code, reason = "not every story needs a second account")]
pub fn account(app_id: &str, secret: &str) -> SandboxAccount {
    SandboxAccount::new(AppId::try_from(app_id.to_owned()).unwrap(), Secret::new(secret))
}
