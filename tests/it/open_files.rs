//! Many connections and a low limit on open files: the gateway can still open what it needs itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayProcess, Raw, RedisServer, SOON, SandboxHost, TINY_PHOTO, accounts, until};

const FILES: usize = 256;
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

struct Story {
    gateway: GatewayProcess,
    wechat: Arc<SandboxHost>,
    _redis: RedisServer,
    /// Connected before the flood.
    page: Raw,
}

impl Story {
    async fn begin() -> Self {
        let (wechat, redis) = (
            SandboxHost::start(SandboxConfig::default()).await,
            RedisServer::start().await,
        );
        let gateway = Gateway::builder().redis(&redis);
        let gateway = GatewayProcess::start_with_open_files(FILES, &gateway, &wechat).await;
        gateway.until_ready().await;
        let page = Raw::connect(gateway.address).await;
        Self {
            gateway,
            wechat,
            _redis: redis,
            page,
        }
    }

    /// The page signs and uploads: that needs a file, a connection to WeChat and one to Redis.
    async fn assert_page_is_served(&mut self) {
        for _ in 0..3 {
            self.page
                .send("GET /wechat/jsSDK?url=https%3A%2F%2Fa.cn HTTP/1.1\r\nhost: a\r\n\r\n")
                .await;
            assert_eq!(self.page.answer().await.code(), (200, 0));
            let body = format!("{{\"mediaId\":\"{}\"}}", self.wechat.takes_photo(TINY_PHOTO));
            let upload = "POST /p/active/weChatOa/upload HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
            let length = body.len();
            self.page
                .send(format!("{upload}content-length: {length}\r\n\r\n{body}"))
                .await;
            let answer = self.page.answer().await;
            assert_eq!(answer.code(), (200, 0), "{answer:?}\n{:#?}", self.gateway.log());
            let picture = answer.body.split("/images/").nth(1).unwrap();
            let picture = picture.split('"').next().unwrap();
            self.page
                .send(format!("GET /images/{picture} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await;
            assert_eq!(self.page.answer().await.status, 200);
        }
    }

    /// How many files the gateway has open.
    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.gateway.id()))
            .unwrap()
            .count()
    }

    async fn assert_logged_once(&self) {
        let full = "connection limit reached";
        until("it is logged", || async { !self.gateway.logged(full).is_empty() }).await;
        let logged = self.gateway.logged(full);
        assert_eq!(logged.len(), 1, "{logged:?}");
        for bad in ["can't be accepted", "Too many open files", "os error 24"] {
            assert_eq!(self.gateway.logged(bad), [""; 0]);
        }
    }

    /// Ends the flood; then new clients are served again.
    async fn end(&self, flood: Vec<Raw>) {
        drop(flood);
        for address in [self.gateway.address, self.gateway.internal] {
            let mut client = Raw::connect(address).await;
            client.send(HEALTH).await;
            assert_eq!(client.answer().await.status, 200);
        }
    }
}

async fn connect(address: SocketAddr, count: usize, request: &str) -> Vec<Raw> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Raw::connect(address).await;
        client.send(request).await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn slow_readers_of_a_picture_leave_files_for_uploads() {
    let mut story = Story::begin().await;
    // More than the buffers of a connection hold, so that the file stays open.
    let mut large = TINY_PHOTO.to_vec();
    large.resize(19 << 20, 0);
    let stored = story.gateway.upload(&story.wechat.takes_photo(&large)).await;
    let path = stored.body["data"].as_str().unwrap_or_else(|| panic!("{stored:?}"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let readers = connect(story.gateway.address, 125, &request).await;
    until("the readers hold all files that they can", || async {
        story.open_files() > FILES / 2
    })
    .await;
    story.assert_page_is_served().await;
    story.assert_logged_once().await;
    story.end(readers).await;
}

#[tokio::test]
async fn idle_connections_on_both_listeners_leave_files_for_uploads() {
    let mut story = Story::begin().await;
    // A connection that has sent half of a head counts as idle too.
    let mut idle = connect(story.gateway.address, 150, "GET /").await;
    idle.extend(connect(story.gateway.internal, 100, "").await);
    until("the flood has filled the places", || async {
        !story.gateway.logged("connection limit reached").is_empty()
    })
    .await;
    story.assert_page_is_served().await;
    story.assert_logged_once().await;
    let mut late = Raw::connect(story.gateway.internal).await;
    late.send(HEALTH).await;
    assert!(late.is_silent_for(SOON / 10).await, "it waits for a place");
    story.end(idle).await;
    assert_eq!(late.answer().await.status, 200);
}

#[tokio::test]
async fn start_of_many_accounts_opens_few_connections_to_wechat() {
    let accounts = accounts(200);
    let settings = Gateway::builder().accounts(&accounts);
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts)).await;
    wechat.sandbox.inject(Fault::delay(Duration::from_millis(20)));
    let gateway = GatewayProcess::start_with_open_files(128, &settings, &wechat).await;
    gateway.until_it_says("ready").await;
    assert_eq!(gateway.logged("os error 24"), [""; 0]);
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 200);
}
