//! The sandbox over real sockets: WeChat's rules, every fault, the control API and the phone.

#![allow(
    clippy::disallowed_methods,
    reason = "the tests' clients are not part of the gateway"
)]
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in functions that they share"
)]

mod control;
mod faults;
mod phone;
mod rules;
mod wire;

use std::net::SocketAddr;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::account::AppId;
use wxgate::sandbox::{Sandbox, SandboxAccount, SandboxConfig};
use wxgate::secret::Secret;

const APP: &str = "wx5a4db0c0ffee0001";
const OTHER_APP: &str = "wx5a4db0c0ffee0002";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9";

/// A running sandbox that ends with this value.
struct Desk {
    sandbox: Sandbox,
    address: SocketAddr,
    client: Client,
    _shutdown: DropGuard,
}

fn app(app_id: &str) -> AppId {
    AppId::try_from(app_id.to_owned()).unwrap()
}

fn two_accounts() -> SandboxConfig {
    SandboxConfig::with_accounts(
        [APP, OTHER_APP]
            .map(|id| SandboxAccount::new(app(id), Secret::new(SECRET)))
            .into(),
    )
}

impl Desk {
    async fn new() -> Self {
        Self::with(two_accounts()).await
    }

    async fn with(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(sandbox.clone().serve(listener, shutdown.clone()));
        Self {
            sandbox,
            address,
            client: Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            _shutdown: shutdown.drop_guard(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.client.post(self.url(path)).json(&body).send().await.unwrap()
    }

    async fn post_json(&self, path: &str, body: Value) -> Value {
        self.post(path, body).await.json().await.unwrap()
    }

    async fn classic(&self) -> Value {
        self.get_json(&token_path(APP)).await
    }

    async fn stable(&self, force: bool) -> Value {
        let body = json!({"grant_type": "client_credential", "appid": APP, "secret": SECRET, "force_refresh": force});
        self.post_json("/cgi-bin/stable_token", body).await
    }

    /// A good token.
    async fn token(&self) -> String {
        text(&self.stable(false).await, "access_token").to_owned()
    }

    /// Calls an API that needs only a token; its `errcode`.
    async fn errcode_of(&self, token: &str) -> i64 {
        let answer = self
            .get_json(&format!("/cgi-bin/ticket/getticket?type=jsapi&access_token={token}"))
            .await;
        errcode(&answer)
    }

    async fn ticket(&self, token: &str, kind: &str) -> Value {
        self.get_json(&format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}"))
            .await
    }
}

fn token_path(app_id: &str) -> String {
    format!("/cgi-bin/token?grant_type=client_credential&appid={app_id}&secret={SECRET}")
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn errcode(answer: &Value) -> i64 {
    answer["errcode"].as_i64().unwrap_or_default()
}
