//! Calls to a gateway, in this process or in one of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{SandboxHost, until};

/// Pages and operators that call one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    pub address: SocketAddr,
    pub internal: SocketAddr,
    pub wechat: Arc<SandboxHost>,
    client: reqwest::Client,
    /// Follows no redirects, as systems that call an API.
    pub(super) system: reqwest::Client,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, headers, body })
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

    /// `Retry-After` in seconds; 0 without one.
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().unwrap_or(0)
    }

    /// Asserts that the answer is an envelope.
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

impl Caller {
    pub fn new(address: SocketAddr, internal: SocketAddr, wechat: &Arc<SandboxHost>) -> Self {
        Self {
            address,
            internal,
            wechat: Arc::clone(wechat),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            system: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(self.url(path))).await
    }

    /// A request to the public listener.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// For requests that may end without an answer.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        Answer::of(request.send().await?).await
    }

    /// A page asks for a signature, with its URL encoded.
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

    /// A user takes a photo, and the page posts its serverId.
    pub async fn upload_new_photo(&self) -> Answer {
        let photo = self.wechat.takes_photo(super::TINY_PHOTO);
        self.upload(&photo).await
    }

    pub async fn internal_get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("http://{}{path}", self.internal)))
            .await
    }

    /// The value of a metric, its labels in Prometheus' order; 0 if it does not exist.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.internal_get("/metrics").await;
        let text = text.body.as_str().unwrap().to_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How many foreign invalidations this gateway has counted for the default account.
    pub async fn foreign_invalidations(&self) -> f64 {
        let app_id = self.wechat.account().app_id;
        self.metric(&format!(
            "wxgate_credential_foreign_invalidations_total{{app_id=\"{app_id}\"}}"
        ))
        .await
    }

    /// When the default account's token expires (Unix time in seconds), by the metric.
    pub async fn token_expiry(&self) -> f64 {
        let app_id = self.wechat.account().app_id;
        self.metric(&format!(
            "wxgate_credential_expiry_timestamp_seconds{{app_id=\"{app_id}\",kind=\"access_token\"}}"
        ))
        .await
    }

    /// Waits until a warm credential of each kind is there.
    pub async fn until_ready(&self) {
        until("the gateway is ready", || async {
            self.get("/readyz").await.status == 200
        })
        .await;
    }

    /// Waits until `/readyz` says `status`.
    pub async fn until_it_says(&self, status: &str) {
        until(&format!("/readyz says {status}"), || async {
            self.get("/readyz").await.body["status"] == status
        })
        .await;
    }

    /// Whether the WeChat app would accept this answer's signature for `page`.
    pub fn wechat_accepts(&self, answer: &Answer, page: &str) -> bool {
        let Some(config) = answer.body["data"].as_object() else {
            return false;
        };
        let mut config = config.clone();
        config.insert("url".to_owned(), page.into());
        self.wechat.sandbox.verify(&config).is_ok()
    }

    /// Asserts that a page is signed, and that the WeChat app accepts it.
    pub async fn assert_signs(&self) {
        let page = "https://a.cn/p";
        let answer = self.sign(page).await;
        assert_eq!(answer.code(), (200, 0), "{answer:?}");
        assert!(self.wechat_accepts(&answer, page), "{answer:?}");
    }

    /// Asserts that there is no credential, and that the answer has `Retry-After`.
    pub async fn assert_no_credential(&self) -> Answer {
        let answer = self.sign("https://a.cn/p").await;
        assert_eq!(answer.code(), (503, 4001), "{answer:?}");
        assert!(answer.retry_after() >= 1, "{answer:?}");
        answer
    }
}
