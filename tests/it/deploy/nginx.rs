//! A real nginx with `deploy/nginx/wxgate.conf`: TLS in front of a gateway and of a store.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reqwest::Method;

use crate::docs::markdown::{Document, read};
use crate::support::{Gateway, NginxProcess, free_address, openssl, photo};

const PAGES: &str = "wxgate.example.com";
const PICTURES: &str = "pictures.example.com";

/// nginx with the example's servers.
struct Nginx {
    _process: NginxProcess,
    folder: tempfile::TempDir,
    plain: SocketAddr,
    tls: SocketAddr,
    client: reqwest::Client,
}

impl Nginx {
    async fn start(gateway: SocketAddr, store: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, plain, tls) = (folder.path(), free_address(), free_address());
        let authority = make_certificate(path);
        let changes = [
            ("listen 80;", format!("listen {plain};")),
            ("listen 443 ssl", format!("listen {tls} ssl")),
            ("127.0.0.1:8080", gateway.to_string()),
            ("127.0.0.1:8333", store.to_string()),
            ("/etc/nginx/tls", path.display().to_string()),
            ("/var/log/nginx", path.display().to_string()),
        ];
        let servers = changes
            .iter()
            .fold(read("deploy/nginx/wxgate.conf"), |text, (from, to)| {
                assert!(text.contains(from), "{from} is not in the example");
                text.replace(from, to)
            });
        let nginx = NginxProcess::start(path, &servers, tls).await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .resolve(PAGES, tls)
            .resolve(PICTURES, tls)
            .redirect(reqwest::redirect::Policy::none());
        Self {
            _process: nginx,
            plain,
            tls,
            client: client.build().unwrap(),
            folder,
        }
    }

    fn request(&self, method: Method, host: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("https://{host}:{}{path}", self.tls.port());
        self.client.request(method, url)
    }

    async fn get(&self, host: &str, path: &str) -> reqwest::Response {
        self.request(Method::GET, host, path).send().await.unwrap()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

/// The lines for nginx in `deploy/README.md`, in front of both listeners of a gateway; nothing else is passed on.
async fn documented_lines(gateway: &Gateway, changes: &[(&str, &str)]) -> (NginxProcess, String, tempfile::TempDir) {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let readme = Document {
        name: "deploy/README.md".to_owned(),
        text: read("deploy/README.md"),
    };
    let locations = readme.blocks_in("nginx");
    assert_eq!(locations.len(), 2);
    let internal = gateway.internal.to_string();
    let mut changes = changes.to_vec();
    changes.push(("127.0.0.1:9090", &internal));
    let locations = changes.iter().fold(locations.concat(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the example");
        text.replace(from, to)
    });
    let servers = format!(
        "upstream wxgate {{ server {}; }}\nserver {{ listen {address}; access_log off;\n{locations}}}",
        gateway.address
    );
    let nginx = NginxProcess::start(folder.path(), &servers, address).await;
    (nginx, format!("http://{address}"), folder)
}

async fn ask(url: String, host: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).header("Host", host).send().await.unwrap()
}

#[tokio::test]
async fn documented_lines_publish_pages_and_the_console_below_paths_and_nothing_else() {
    let gateway = Gateway::builder()
        .set("server.base_path", "/wxgate")
        .set("internal.base_path", "/ops")
        .set("internal.allowed_hosts", PAGES)
        .set("internal.operator_key", "an-operator-s-key-of-some-length")
        .start()
        .await;
    gateway.until_ready().await;
    let stored = gateway.upload_new_photo().await.body["data"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_nginx, url, _folder) = documented_lines(&gateway, &[("10.0.0.0/8", "127.0.0.0/8")]).await;
    for (path, host, status) in [
        ("/wxgate/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2F", PAGES, 200),
        (stored.as_str(), PAGES, 200),
        ("/ops/console", PAGES, 200),
        ("/ops/console/console.css", PAGES, 200),
        ("/ops/console", "evil.example.com", 403),
        ("/ops/metrics", PAGES, 404),
        ("/ops/cgi-bin/token", PAGES, 404),
        ("/ops/consolex", PAGES, 404),
        ("/console", PAGES, 404),
        ("/metrics", PAGES, 404),
    ] {
        assert_eq!(
            ask(format!("{url}{path}"), host).await.status(),
            status,
            "{path} at {host}"
        );
    }
    let renew = format!(
        "{url}/ops/credentials/{}/access_token/renew",
        gateway.wechat.account().app_id
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let renewed = client.post(renew).header("Host", PAGES);
    let renewed = renewed
        .bearer_auth("an-operator-s-key-of-some-length")
        .send()
        .await
        .unwrap();
    assert_eq!(renewed.status(), 200);
}

#[tokio::test]
async fn documented_console_is_closed_to_other_networks() {
    let gateway = Gateway::builder().set("internal.base_path", "/ops").start().await;
    let (_nginx, url, _folder) = documented_lines(&gateway, &[]).await;
    assert_eq!(ask(format!("{url}/ops/console"), PAGES).await.status(), 403);
}

/// Writes wxgate.pem and wxgate.key for both names, and returns the authority's certificate.
fn make_certificate(path: &Path) -> reqwest::Certificate {
    let names = format!("subjectAltName = DNS:{PAGES}, DNS:{PICTURES}\n");
    std::fs::write(path.join("names"), names).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        path,
        &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
    );
    openssl(
        path,
        &format!("req -new {key} -subj /CN=wxgate -keyout wxgate.key -out wxgate.csr"),
    );
    let sign = "x509 -req -in wxgate.csr -CA ca.pem -CAkey ca.key -CAcreateserial";
    openssl(path, &format!("{sign} -days 2 -extfile names -out wxgate.pem"));
    reqwest::Certificate::from_pem(&std::fs::read(path.join("ca.pem")).unwrap()).unwrap()
}

/// What a store was asked: method, target, names of headers.
type Asked = Arc<Mutex<Vec<(String, String, Vec<String>)>>>;

/// A store that has every picture but `absent.jpg`, and records its requests.
async fn store() -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let answer = async move |request: Request| -> Response {
        let names = request.headers().keys().map(ToString::to_string).collect();
        let target = request.uri().to_string();
        let absent = target.contains("absent");
        noted
            .lock()
            .unwrap()
            .push((request.method().to_string(), target, names));
        if absent {
            return (StatusCode::FORBIDDEN, "<Error><BucketName>photos</BucketName></Error>").into_response();
        }
        ([("content-type", "image/jpeg")], "a picture").into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await });
    (address, asked)
}

#[tokio::test]
async fn pages_and_uploads_get_through_by_tls() {
    let gateway = Gateway::builder()
        .set("server.trusted_proxies", "127.0.0.1/32")
        .start()
        .await;
    let nginx = Nginx::start(gateway.address, store().await.0).await;
    let page = "https://h5.example.com/a?code=of-a-user";
    let path = format!("/wechat/jsSDK?url={}", crate::support::encode_uri_component(page));
    let request = nginx
        .request(Method::GET, PAGES, &path)
        .header("X-Request-Id", "from-a-page");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-request-id"], "from-a-page");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let signed: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(signed["code"], 0, "{signed}");

    let bytes = photo("portrait.jpg");
    let body = serde_json::json!({ "mediaId": gateway.wechat.takes_photo(&bytes) });
    let upload = nginx
        .request(Method::POST, PAGES, "/p/active/weChatOa/upload")
        .json(&body);
    let stored: serde_json::Value = upload.send().await.unwrap().json().await.unwrap();
    let picture = nginx.get(PAGES, stored["data"].as_str().unwrap()).await;
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    assert_eq!(picture.bytes().await.unwrap(), bytes);

    // The gateway's own answer, not nginx's.
    let absent = nginx.get(PAGES, "/nothing-here").await;
    assert_eq!(absent.json::<serde_json::Value>().await.unwrap()["code"], 1009);
    let plain = nginx
        .client
        .get(format!("http://{}/docs/?a=1", nginx.plain))
        .header("Host", PAGES);
    let plain = plain.send().await.unwrap();
    assert_eq!(plain.status(), 301);
    assert_eq!(plain.headers()["location"], format!("https://{PAGES}/docs/?a=1"));

    let log = nginx.log("wxgate.log");
    assert!(
        log.contains("\"GET /wechat/jsSDK\" 200") && log.contains("\"from-a-page\""),
        "{log}"
    );
    assert!(!log.contains("of-a-user"), "{log}");
}

#[tokio::test]
async fn no_log_has_a_users_code_not_even_without_a_gateway() {
    let nginx = Nginx::start(free_address(), free_address()).await;
    let path = "/wechat/jsSDK?url=https%3A%2F%2Fh5.example.com%2Fa%3Fcode%3Dof-a-user";
    for (host, path, status) in [(PAGES, path, 502), (PICTURES, "/photos/a.jpg", 404)] {
        let request = nginx.request(Method::GET, host, path);
        let request = request.header("Referer", "https://h5.example.com/a?code=of-a-user");
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let plain = nginx.client.get(format!("http://{}{path}", nginx.plain));
    assert_eq!(plain.header("Host", PAGES).send().await.unwrap().status(), 301);
    let log = nginx.log("wxgate.log");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].contains("\"GET /wechat/jsSDK\" 502"), "{log}");
    // $uri and $status are those of /absent here.
    assert!(lines[1].contains(" 404 ") && lines[1].contains(" 502 "), "{log}");
    assert!(lines[2].contains("\"GET /wechat/jsSDK\" 301"), "{log}");
    let both = log + &nginx.log("error.log");
    assert!(!both.contains("of-a-user"), "{both}");
}

#[tokio::test]
async fn forged_forwarded_for_is_ignored_behind_nginx() {
    let gateway = Gateway::builder()
        .set("server.trusted_proxies", "127.0.0.1/32")
        .set("rate_limit.jssdk_per_second", "1")
        .set("rate_limit.jssdk_burst", "2")
        .start()
        .await;
    let nginx = Nginx::start(gateway.address, store().await.0).await;
    let mut statuses = Vec::new();
    for last in 1..=12 {
        let request = nginx.request(Method::GET, PAGES, "/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2F");
        let forged = request.header("X-Forwarded-For", format!("203.0.113.{last}"));
        statuses.push(forged.send().await.unwrap().status().as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn nginx_passes_only_picture_names_to_the_store() {
    let (address, asked) = store().await;
    let gateway = Gateway::start().await;
    let nginx = Nginx::start(gateway.address, address).await;
    // A name as the gateway makes it.
    let stored = gateway.upload_new_photo().await.body["data"]
        .as_str()
        .unwrap()
        .to_owned();
    let name = format!("/photos/{}", stored.rsplit('/').next().unwrap());
    let request = nginx.request(Method::GET, PICTURES, &format!("{name}?list-type=2&X-Amz-Signature=x"));
    let request = request.header("Authorization", "AWS4 x").header("Cookie", "session=1");
    let picture = request.send().await.unwrap();
    assert_eq!(picture.status(), 200);
    assert_eq!(picture.headers()["x-content-type-options"], "nosniff");
    assert!(
        picture.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert_eq!(picture.text().await.unwrap(), "a picture");
    let head = nginx.request(Method::HEAD, PICTURES, &name).send().await.unwrap();
    assert_eq!(head.status(), 200);
    let all = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(all.len(), 2);
    for (_, target, headers) in all {
        assert_eq!(target, name);
        let secret = |header: &String| header == "authorization" || header == "cookie";
        assert!(!headers.iter().any(secret), "{headers:?}");
    }

    for path in [
        "/",
        "/photos",
        "/photos/",
        "/photos/?list-type=2",
        "/photos/a.txt",
        "/photos/../other/a.jpg",
        "/other/a.jpg",
    ] {
        assert_eq!(nginx.get(PICTURES, path).await.status(), 404, "{path}");
    }
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS] {
        let answer = nginx
            .request(method.clone(), PICTURES, &name)
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 404, "{method}");
    }
    assert_eq!(asked.lock().unwrap().len(), 0);

    let absent = nginx.get(PICTURES, "/photos/absent.jpg").await;
    assert_eq!(absent.status(), 404);
    assert!(absent.headers().get("cache-control").is_none());
    assert!(!absent.text().await.unwrap().contains("BucketName"));
}
