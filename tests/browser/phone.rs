//! A phone with the WeChat app, which opens a page that does not come from the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wxgate::http::serve::Server;

use super::chromium::Chromium;
use crate::support::packages::npm;
use crate::support::{Caller, photo};

/// Where the page comes from.
pub const PAGE_ORIGIN: &str = "http://h5.example.com";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
    Chrome/120.0.0.0 Mobile Safari/537.36 XWEB/1200 MMWEBSDK/20240404 MicroMessenger/8.0.49.2600(0x28003133) \
    WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN";

/// The photo that the phone takes.
pub const PHOTO: &str = "portrait.jpg";

/// What kind of phone, and what its user does.
#[derive(Clone)]
pub struct Phone {
    user_agent: Option<&'static str>,
    page: String,
    manner: Value,
}

impl Phone {
    pub fn android() -> Self {
        Self {
            user_agent: Some(ANDROID),
            page: read("examples/h5/index.html"),
            manner: json!({ "ios": false }),
        }
    }

    pub fn iphone() -> Self {
        Self {
            user_agent: Some(IPHONE),
            ..Self::android()
        }
        .with("ios", true)
    }

    /// A browser that is not WeChat's.
    pub fn plain_browser() -> Self {
        Self {
            user_agent: None,
            ..Self::android()
        }
    }

    /// Opens another page than that of `examples/h5`.
    pub fn page(self, html: &str) -> Self {
        Self {
            page: html.to_owned(),
            ..self
        }
    }

    /// The user cancels.
    pub fn cancels(self) -> Self {
        self.with("cancels", true)
    }

    /// The photo has this serverId, and is not uploaded.
    pub fn server_id(self, server_id: &str) -> Self {
        self.with("serverId", server_id)
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.manner[key] = value.into();
        self
    }

    /// Opens the page at `path`, then runs `test`.
    pub async fn opens(self, gateway: &Caller, path: &str, test: impl AsyncFnOnce(&Chromium)) {
        let pages = Pages::serve(&self.page).await;
        let hosts = [
            ("h5.example.com", pages.address),
            ("wxgate.example.com", gateway.address),
            ("wechat.example.com", gateway.wechat.address),
        ];
        Chromium::run(&hosts, async |chromium| {
            self.becomes(chromium).await;
            chromium.open(&format!("{PAGE_ORIGIN}{path}")).await;
            test(chromium).await;
        })
        .await;
    }

    /// Makes the browser behave like this phone.
    async fn becomes(mut self, chromium: &Chromium) {
        let Some(user_agent) = self.user_agent else { return };
        let agent = json!({ "userAgent": user_agent });
        chromium.command("Network.setUserAgentOverride", agent).await;
        self.manner["sandbox"] = "http://wechat.example.com".into();
        self.manner["photo"] = photo(PHOTO).into();
        let source = format!("({})({})", include_str!("bridge.js"), self.manner);
        let script = json!({ "source": source });
        chromium.command("Page.addScriptToEvaluateOnNewDocument", script).await;
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The company's web server: one page at every path, and the scripts that it loads.
struct Pages {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Pages {
    async fn serve(html: &str) -> Self {
        // WeChat's script is taken from its npm package, which is meant for bundlers.
        let scripts = npm("h5").await.join("node_modules/weixin-js-sdk/index.js");
        let script = std::fs::read_to_string(scripts).unwrap();
        let script = format!("const module = {{}};\n{script}\nwindow.wx = window.jWeixin = module.exports;");
        let own = html
            .replace("https://res.wx.qq.com/open/js/jweixin-1.6.0.js", "/jweixin.js")
            .replace("https://wxgate.example.com", "http://wxgate.example.com");
        let (script, own): (Arc<str>, Arc<str>) = (script.into(), own.into());
        let router = Router::new().fallback(async move |uri: Uri| match uri.path().rsplit_once('/') {
            Some((_, "jweixin.js")) => of_type("text/javascript", script.to_string()),
            Some((_, name @ ("page.js" | "wxgate.js"))) => {
                of_type("text/javascript", read(&format!("examples/h5/{name}")))
            }
            _ => of_type("text/html", own.to_string()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(Server::default().serve(listener, router, CancellationToken::new(), Duration::ZERO));
        Self { address, serving }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn of_type(kind: &str, text: String) -> Response {
    ([(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}
