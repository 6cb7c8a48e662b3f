//! The pass-through: WeChat's whole API behind one address, and no dead token on the way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use wxgate::sandbox::{Api, Fault, Kill, SandboxConfig};

use crate::support::{Gateway, Raw, RedisServer, SandboxHost, TINY_PHOTO, free_address, photo};

/// A media file as SDKs upload it.
fn form(bytes: &[u8]) -> reqwest::multipart::Form {
    let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("photo.jpg");
    reqwest::multipart::Form::new().part("media", part)
}

#[tokio::test]
async fn media_goes_up_and_down_byte_for_byte() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    for bytes in [photo("portrait.jpg"), TINY_PHOTO.to_vec()] {
        let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
        let up = gateway
            .send(gateway.internal_request("POST", &path).multipart(form(&bytes)))
            .await;
        let id = up.body["media_id"].as_str().unwrap_or_else(|| panic!("{up:?}"));
        let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
        let down = gateway.internal_request("GET", &path).send().await.unwrap();
        assert_eq!(down.headers()["content-type"], "image/jpeg");
        assert!(down.headers().contains_key("content-disposition"));
        assert_eq!(down.headers()["content-length"], bytes.len().to_string().as_str());
        assert_eq!(down.bytes().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn call_with_a_dead_shared_token_is_repeated_once() {
    let gateway = Gateway::start().await;
    let app_id = gateway.wechat.account().app_id;
    for (turn, expired) in [(1, false), (2, true)] {
        let dead = gateway.token().await;
        let kill = Kill {
            expired,
            ..Kill::default()
        };
        gateway.wechat.sandbox.kill_token(&app_id, kill).unwrap();
        let calls = futures_util::future::join_all((0..20).map(|_| gateway.calls_wechat(&dead))).await;
        for answer in calls {
            assert!(answer.body["ip_list"].is_array(), "{answer:?}");
        }
        assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), turn + 1);
        assert_ne!(gateway.token().await, dead);
        // Who goes on with the old one is served too, and no token is fetched for it.
        assert!(gateway.calls_wechat(&dead).await.body["ip_list"].is_array());
        let message = gateway
            .internal_request(
                "POST",
                &format!("/cgi-bin/message/custom/send?a=1&access_token={dead}&b=2"),
            )
            .json(&json!({ "touser": "o1" }));
        assert_eq!(gateway.send(message).await.body["errcode"], 0);
        assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), turn + 1);
    }
}

#[tokio::test]
async fn large_body_is_not_repeated_but_the_token_is_renewed() {
    let gateway = Gateway::start().await;
    let dead = gateway.token().await;
    gateway
        .wechat
        .sandbox
        .kill_token(&gateway.wechat.account().app_id, Kill::default())
        .unwrap();
    let mut bytes = TINY_PHOTO.to_vec();
    bytes.resize(300_000, 7);
    let upload = async |token: &str| {
        let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
        gateway
            .send(gateway.internal_request("POST", &path).multipart(form(&bytes)))
            .await
    };
    assert_eq!(upload(&dead).await.body["errcode"], 40001);
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaUpload), 1);
    let good = gateway.token().await;
    assert_ne!(good, dead);
    assert!(upload(&good).await.body["media_id"].is_string());
}

#[tokio::test]
async fn unknown_token_is_passed_through_to_wechat() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let answer = gateway.calls_wechat("somebody-elses").await;
    assert_eq!(answer.body["errcode"], 40001);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetCallbackIp), 1);
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 1);
    let foreign = gateway
        .wechat
        .sandbox
        .foreign_token(&gateway.wechat.account().app_id)
        .unwrap();
    assert!(gateway.calls_wechat(foreign.expose()).await.body["ip_list"].is_array());
}

/// What WeChat rejects must be what was sent, or a good token is dropped for it.
#[tokio::test]
async fn valid_token_is_not_renewed_for_anothers_error() {
    let gateway = Gateway::start().await;
    let dead = gateway.token().await;
    gateway
        .wechat
        .sandbox
        .kill_token(&gateway.wechat.account().app_id, Kill::default())
        .unwrap();
    let ask = async |query: &str| {
        let path = format!("/cgi-bin/getcallbackip?{query}");
        gateway.internal_get(&path).await.body
    };
    // However the name is written, the token is exchanged.
    assert!(ask(&format!("access%5Ftoken={dead}")).await["ip_list"].is_array());
    let good = gateway.token().await;
    assert!(ask(&format!("access%5Ftoken={dead}")).await["ip_list"].is_array());
    // Of two nobody knows which one WeChat takes.
    ask(&format!("access_token={dead}&access_token={good}")).await;
    ask(&format!("access_token={good}&access_token={dead}")).await;
    // A user's token is another system's.
    let rule = gateway.wechat.sandbox.inject(Fault::errcode(40001).on(Api::Other));
    let user = gateway
        .internal_get(&format!("/sns/userinfo?access_token={good}&openid=o"))
        .await;
    assert_eq!(user.body["errcode"], 40001);
    gateway.wechat.sandbox.remove_fault(rule);
    assert_eq!(gateway.token().await, good);
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn token_of_another_replica_is_renewed() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let one = start().await;
    let dead = one.token().await;
    wechat
        .sandbox
        .kill_token(&wechat.account().app_id, Kill::default())
        .unwrap();
    assert!(one.calls_wechat(&dead).await.body["ip_list"].is_array());
    // The second one has never seen the dead token.
    let two = start().await;
    assert!(two.calls_wechat(&dead).await.body["ip_list"].is_array());
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn wechat_errors_pass_through_unchanged() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    for (status, body) in [
        (200, "<html>busy</html>"),
        (200, "{\"errcode\":45009,"),
        (200, "{}"),
        (200, ""),
    ] {
        let fault = Fault::Body {
            body: body.to_owned(),
            content_type: "text/odd".to_owned(),
        };
        let rule = gateway.wechat.sandbox.inject(fault.on(Api::GetCallbackIp));
        let path = format!("/cgi-bin/getcallbackip?access_token={token}");
        let answer = gateway.internal_request("GET", &path).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "text/odd");
        assert_eq!(answer.text().await.unwrap(), body);
        gateway.wechat.sandbox.remove_fault(rule);
    }
    gateway.wechat.sandbox.inject(
        Fault::Redirect {
            location: "http://127.0.0.1:1/".to_owned(),
            status: 302,
        }
        .on(Api::GetCallbackIp)
        .once(),
    );
    let path = format!("/cgi-bin/getcallbackip?access_token={token}");
    let answer = gateway.send(gateway.internal_request("GET", &path)).await;
    assert_eq!((answer.status, answer.header("location")), (302, "http://127.0.0.1:1/"));
}

#[tokio::test]
async fn truncated_body_is_never_passed_as_complete() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let photo = photo("portrait.jpg");
    let id = gateway.wechat.takes_photo(&photo);
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    for fault in [Fault::cut(photo.len() / 2), Fault::NoLength] {
        let whole = matches!(fault, Fault::NoLength);
        gateway.wechat.sandbox.inject(fault.on(Api::MediaGet).once());
        // Where it breaks off at once, so may the answer, before its head has left.
        let request = gateway.internal_request("GET", &path);
        let body = async { request.send().await?.bytes().await }.await;
        assert_eq!(body.is_ok_and(|bytes| bytes == photo), whole);
    }
}

#[tokio::test]
async fn unreachable_wechat_is_answered_in_wechats_format() {
    let nowhere = format!("http://{}", free_address());
    let gateway = Gateway::builder().set("wechat.api_base_url", nowhere).start().await;
    let answer = gateway.calls_wechat("any").await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (502, &json!(-1)),
        "{answer:?}"
    );
    assert!(!answer.header("x-request-id").is_empty());

    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::Stall.on(Api::GetCallbackIp));
    let builder = Gateway::builder().wechat(&wechat).set("wechat.timeout", "200ms");
    let gateway = builder.set("wechat.connect_timeout", "200ms").start().await;
    let answer = gateway.calls_wechat("any").await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (502, &json!(-1)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn other_paths_are_not_passed_through() {
    let gateway = Gateway::start().await;
    for path in [
        "/cgi-bin/token/",
        "/cgi-bin//token",
        "/cgi-bin/%74oken",
        "/credentials",
        "/console/x",
        "/metrics/",
        "/wechat/jsSDK",
        "/p/active/weChatOa/upload",
    ] {
        let answer = gateway.internal_get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    // What a URL library would straighten out on its way, and a server at the end of it.
    for path in [
        "/cgi-bin/./token",
        "/cgi-bin/media/../token",
        "/cgi-bin/media/%2e%2E/token",
        "/cgi-bin/%2E/token",
        "/%2e./%2E%2e/cgi-bin/stable_token",
        "/x/..",
        "/cgi-bin\\token",
        "/cgi-bin\\stable_token?grant_type=client_credential",
        "\\cgi-bin/token",
        "/cgi-bin/media\\..\\token",
        "/cgi-bin%5Ctoken",
        "/cgi-bin%2ftoken",
        "//cgi-bin///stable_token/",
        "/cgi-bin/./stable%5Ftoken",
    ] {
        let mut client = Raw::connect(gateway.internal).await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: wxgate\r\n\r\n"))
            .await;
        // A path that begins otherwise is no HTTP.
        let status = client.answer().await.status;
        assert_eq!(status, if path.starts_with('/') { 404 } else { 400 }, "{path}");
    }
    assert_eq!(gateway.wechat.sandbox.calls(Api::Other), 0);
    assert_eq!(gateway.wechat.sandbox.calls(Api::Token), 0);
    let stable = gateway.wechat.sandbox.calls(Api::StableToken);
    assert!(stable <= 1, "the gateway's own: {stable}");

    let closed = Gateway::builder().set("internal.proxy", false).start().await;
    let token = closed.token().await;
    let answer = closed.calls_wechat(&token).await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (404, &json!(40066)),
        "{answer:?}"
    );
    assert_eq!(closed.asks_for_ticket(&token).await.body["errcode"], 0);
}

#[tokio::test]
async fn ticket_of_another_type_is_passed_through() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let calls = gateway.wechat.sandbox.calls(Api::GetTicket);
    let path = format!("/cgi-bin/ticket/getticket?access_token={token}&type=wx_card");
    let answer = gateway.internal_get(&path).await;
    assert!(answer.body["ticket"].is_string(), "{answer:?}");
    assert!(gateway.wechat.sandbox.calls(Api::GetTicket) > calls);
}

/// A WeChat that answers with what it was asked.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Vec<(String, String, HeaderMap)>>>);

impl Echo {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let echo = Self::default();
        let router = axum::Router::new().fallback(answer).with_state(echo.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (echo, url)
    }

    fn last(&self) -> (String, String, HeaderMap) {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// Streams the request's body back as it comes.
async fn answer(State(echo): State<Echo>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.to_string();
    echo.0
        .lock()
        .unwrap()
        .push((parts.method.to_string(), uri, parts.headers));
    let headers = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=9"),
        ("x-end", "kept"),
    ];
    (headers, Body::from_stream(body.into_data_stream())).into_response()
}

#[tokio::test]
async fn request_passes_through_without_hop_by_hop_headers() {
    let (echo, url) = Echo::start().await;
    let gateway = Gateway::builder().set("wechat.api_base_url", &url).start().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = gateway
            .internal_request(method, "/wxa/a%2Fb?x=%E4%B8%AD&y=a+b&&z")
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("te", "trailers")
            .header("proxy-authorization", "Basic eA==")
            .header("user-agent", "an-sdk/1")
            .header("cookie", "a=1")
            .body("body");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-end"], "kept");
        assert!(!answer.headers().contains_key("x-hop") && !answer.headers().contains_key("keep-alive"));
        assert_eq!(answer.text().await.unwrap(), "body");
        let (arrived, uri, headers) = echo.last();
        assert_eq!(
            (arrived.as_str(), uri.as_str()),
            (method, "/wxa/a%2Fb?x=%E4%B8%AD&y=a+b&&z")
        );
        assert_eq!(headers["host"], url.trim_start_matches("http://"));
        assert_eq!(headers["user-agent"], "an-sdk/1");
        assert_eq!(headers["cookie"], "a=1");
        assert_eq!(headers["content-length"], "4");
        for name in ["x-mine", "te", "proxy-authorization", "transfer-encoding"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn path_stays_below_the_base_url() {
    let (echo, url) = Echo::start().await;
    let base = format!("{url}/wx");
    let gateway = Gateway::builder().set("wechat.api_base_url", base).start().await;
    for (asked, arrived) in [
        ("/wxa/a?b=c", "/wx/wxa/a?b=c"),
        ("//wxa//a", "/wx//wxa//a"),
        ("/wxa\\a", "/wx/wxa/a"),
        ("/wxa/%2F%3F%23?x='%23", "/wx/wxa/%2F%3F%23?x=%27%23"),
    ] {
        let mut client = Raw::connect(gateway.internal).await;
        client
            .send(format!("GET {asked} HTTP/1.1\r\nHost: wxgate\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, 200, "{asked}");
        assert_eq!(echo.last().1, arrived);
    }
    for asked in ["/../cgi-bin/menu/get", "/%2e%2E/cgi-bin/menu/get", "/x\\..\\..\\menu"] {
        let mut client = Raw::connect(gateway.internal).await;
        client
            .send(format!("GET {asked} HTTP/1.1\r\nHost: wxgate\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, 404, "{asked}");
    }
}

#[tokio::test]
async fn a_large_upload_streams_and_keeps_its_length() {
    let (echo, url) = Echo::start().await;
    let gateway = Gateway::builder().set("wechat.api_base_url", &url).start().await;
    let bytes = vec![5_u8; 3_000_000];
    let request = gateway
        .internal_request("POST", "/cgi-bin/media/upload")
        .body(bytes.clone());
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    assert!(answer == bytes);
    let (.., headers) = echo.last();
    // WeChat takes no upload without a length.
    assert_eq!(headers["content-length"], "3000000");
    assert!(!headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn steady_stream_may_outlast_the_timeout() {
    let (_, url) = Echo::start().await;
    let builder = Gateway::builder()
        .set("wechat.api_base_url", &url)
        .set("wechat.timeout", "400ms");
    let gateway = builder.set("wechat.connect_timeout", "100ms").start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    let request = gateway
        .internal_request("POST", "/slow")
        .body(reqwest::Body::wrap_stream(pieces));
    let started = Instant::now();
    let feeding = tokio::spawn(async move {
        for _ in 0..10 {
            sender.send(Bytes::from(vec![1; 20_000])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut length = 0;
    let mut body = answer.bytes_stream();
    while let Some(piece) = body.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, 200_000);
    assert!(started.elapsed() > Duration::from_millis(900));
    feeding.await.unwrap();
}
