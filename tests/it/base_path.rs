//! Base paths, behind proxies that strip them and proxies that do not.

use std::net::SocketAddr;

use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, GatewayBuilder, NginxProcess, encode_uri_component, free_address, photo};

const BASE: &str = "/h5/wxgate";
const CONSOLE_BASE: &str = "/ops";

fn builder() -> GatewayBuilder {
    Gateway::builder()
        .set("server.base_path", BASE)
        .set("internal.base_path", CONSOLE_BASE)
        .set("internal.operator_key", "an-operator-s-key-of-some-length")
}

/// nginx, which publishes both listeners at one address, below their base paths.
struct Front {
    address: SocketAddr,
    client: Client,
    _nginx: NginxProcess,
    _folder: tempfile::TempDir,
}

impl Front {
    /// With `strip`, the gateway is asked without the base path.
    async fn start(gateway: &Gateway, strip: bool) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let end = if strip { "/" } else { "" };
        let location = |base: &str, upstream: SocketAddr| {
            format!("location {base}/ {{ proxy_set_header Host $http_host; proxy_pass http://{upstream}{end}; }}\n")
        };
        let servers = format!(
            "server {{ listen {address}; access_log off;\n{}{}location / {{ return 418; }} }}",
            location(BASE, gateway.address),
            location(CONSOLE_BASE, gateway.internal)
        );
        let nginx = NginxProcess::start(folder.path(), &servers, address).await;
        Self {
            address,
            client: Client::builder().no_proxy().build().unwrap(),
            _nginx: nginx,
            _folder: folder,
        }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    async fn get(&self, url: Url) -> reqwest::Response {
        self.client.get(url).send().await.unwrap()
    }

    /// A page's text. Its links to files are followed: each works, and stays below the base path.
    async fn page_with_its_files(&self, path: &str, base: &str) -> String {
        let page = self.get(self.url(path)).await;
        assert_eq!(page.status(), 200, "{path}");
        let url = page.url().clone();
        let text = page.text().await.unwrap();
        let mut links = 0;
        for attribute in [" src=\"", " href=\"", " action=\""] {
            for target in text.split(attribute).skip(1) {
                let target = target.split('"').next().unwrap().replace("&amp;", "&");
                if target.starts_with("data:") || target.starts_with('#') {
                    continue;
                }
                let file = url.join(&target).unwrap();
                assert!(file.path().starts_with(&format!("{base}/")), "{target} in {path}");
                assert_eq!(self.get(file).await.status(), 200, "{target} in {path}");
                links += 1;
            }
        }
        assert!(links >= 3, "{path} has {links} links");
        text
    }
}

#[tokio::test]
async fn pages_work_behind_proxies_that_strip_the_base_path_and_proxies_that_do_not() {
    let gateway = builder().demo_page().start().await;
    gateway.until_ready().await;
    for strip in [true, false] {
        let front = Front::start(&gateway, strip).await;
        let page = encode_uri_component("https://h5.example.com/a");
        let signed = front.get(front.url(&format!("{BASE}/wechat/jsSDK?url={page}"))).await;
        assert_eq!(signed.json::<Value>().await.unwrap()["code"], 0, "{strip}");

        let bytes = photo("portrait.jpg");
        let upload = front
            .client
            .post(front.url(&format!("{BASE}/p/active/weChatOa/upload")))
            .json(&json!({ "mediaId": gateway.wechat.takes_photo(&bytes) }));
        let stored: Value = upload.send().await.unwrap().json().await.unwrap();
        let stored = stored["data"].as_str().unwrap();
        assert!(stored.starts_with(&format!("{BASE}/images/")), "{stored}");
        let picture = front.get(front.url(stored)).await;
        assert_eq!(picture.headers()["content-type"], "image/jpeg");
        assert_eq!(picture.bytes().await.unwrap(), bytes);

        // The redirect of /docs stays below the path.
        front.page_with_its_files(&format!("{BASE}/docs"), BASE).await;
        let document = front.get(front.url(&format!("{BASE}/openapi.json"))).await;
        let document: Value = document.json().await.unwrap();
        assert_eq!(document["servers"], json!([{ "url": BASE }]));
        // The demo page.
        front.page_with_its_files(&format!("{BASE}/"), BASE).await;

        let unknown = front.get(front.url(&format!("{BASE}/nothing-here"))).await;
        assert_eq!(unknown.json::<Value>().await.unwrap()["code"], 1009);
    }
}

#[tokio::test]
async fn console_works_behind_proxies_that_strip_the_base_path_and_proxies_that_do_not() {
    let gateway = builder().start().await;
    gateway.until_ready().await;
    for strip in [true, false] {
        let front = Front::start(&gateway, strip).await;
        // With a slash at its end it is redirected.
        for path in ["/console", "/console/", "/console/explain"] {
            let path = format!("{CONSOLE_BASE}{path}");
            let page = front.page_with_its_files(&path, CONSOLE_BASE).await;
            for target in page.split("data-action=\"").skip(1) {
                let target = front
                    .url(&format!("{CONSOLE_BASE}/console"))
                    .join(target.split('"').next().unwrap());
                let action = front.client.post(target.unwrap()).bearer_auth("wrong");
                assert_eq!(action.send().await.unwrap().status(), 401, "{page}");
            }
            assert_eq!(page.contains("data-action"), !path.ends_with("explain"));
        }
        let chosen = front.get(front.url(&format!("{CONSOLE_BASE}/console?lang=zh"))).await;
        let cookie = chosen.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("; Path=/ops/console;"), "{cookie}");
        let explain = front.client.post(front.url(&format!("{CONSOLE_BASE}/console/explain")));
        let explain = explain.header("content-type", "application/x-www-form-urlencoded");
        let explain = explain.body("url=https://a.cn/&nonce=n&timestamp=1&signature=x");
        let answer = explain.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("console.css"));
    }
}

async fn stored_url(gateway: &Gateway) -> String {
    let stored: Answer = gateway.upload_new_photo().await;
    stored.body["data"]
        .as_str()
        .unwrap_or_else(|| panic!("{stored:?}"))
        .to_owned()
}

#[tokio::test]
async fn routes_answer_with_and_without_the_base_path() {
    let gateway = builder().start().await;
    gateway.until_ready().await;
    let picture = stored_url(&gateway).await;
    for path in ["/healthz", "/readyz", "/docs/", "/openapi.json", &picture[BASE.len()..]] {
        for base in ["", BASE] {
            assert_eq!(gateway.get(&format!("{base}{path}")).await.status, 200, "{base}{path}");
        }
    }
    let sign = "/wechat/jsSDK?url=https%3A%2F%2Fa.cn";
    for path in [sign.to_owned(), format!("{BASE}{sign}")] {
        assert_eq!(gateway.get(&path).await.code(), (200, 0), "{path}");
    }
    let below = format!("{BASE}{BASE}/healthz");
    for path in [
        "/h5/healthz",
        "/h5/wxgatex/healthz",
        &below,
        "/h5/wxgate",
        "/H5/wxgate/healthz",
    ] {
        let answer = gateway.get(path).await;
        answer.assert_envelope();
        assert_eq!(answer.code(), (404, 1009), "{path}");
    }
    let wrong_method = gateway.send(gateway.request("DELETE", &format!("{BASE}{sign}"))).await;
    assert_eq!(wrong_method.code(), (405, 1010));
    // Metrics have one label for the route.
    let series = "wxgate_http_requests_total{method=\"GET\",route=\"/wechat/jsSDK\",status=\"200\"}";
    assert!((gateway.metric(series).await - 2.0).abs() < f64::EPSILON);

    let token = "/cgi-bin/token?grant_type=client_credential&appid=x&secret=y";
    for base in ["", CONSOLE_BASE] {
        for path in ["/healthz", "/metrics", "/console"] {
            assert_eq!(
                gateway.internal_get(&format!("{base}{path}")).await.status,
                200,
                "{base}{path}"
            );
        }
        let answer = gateway.internal_get(&format!("{base}{token}")).await;
        assert_eq!(answer.body["errcode"], 40013, "{answer:?}");
    }
}

#[tokio::test]
async fn picture_urls_have_the_base_path_once() {
    for (base, public, url, route) in [
        ("/wx", "/images", "/wx/images/", "/images/"),
        ("/wx", "/wx/photos", "/wx/photos/", "/photos/"),
        ("/wechat", "/images", "/wechat/images/", "/images/"),
        ("/images", "/photos", "/images/photos/", "/photos/"),
        (
            "/wx",
            "https://h5.example.com/wx/images",
            "https://h5.example.com/wx/images/",
            "/wx/images/",
        ),
        (
            "/wx",
            "https://img.example.com/pic",
            "https://img.example.com/pic/",
            "/pic/",
        ),
    ] {
        let gateway = Gateway::builder()
            .set("server.base_path", base)
            .set("image_store.local.public_base_url", public)
            .start()
            .await;
        gateway.until_ready().await;
        let stored = stored_url(&gateway).await;
        assert!(stored.starts_with(url), "{stored}");
        let name = &stored[url.len()..];
        assert_eq!(
            gateway.get(&format!("{route}{name}")).await.status,
            200,
            "{base} {public}"
        );
        // A base path that is a prefix of a route does not hide the route.
        assert_eq!(gateway.get("/wechat/jsSDK?url=https%3A%2F%2Fa.cn").await.status, 200);
        let below = format!("{base}/wechat/jsSDK?url=https%3A%2F%2Fa.cn");
        assert_eq!(gateway.get(&below).await.status, 200, "{below}");
    }
}
