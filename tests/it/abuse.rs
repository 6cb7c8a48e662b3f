//! Clients that are slow, flood, send malformed requests or hang up: they get a clear answer or are disconnected, and
//! other clients are not affected.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use tokio::time::Instant;
use wxgate::http::serve::{ConnectionLimit, Limits};

use crate::support::{BareServer, Gateway, GatewayProcess, LIMIT, Raw, SOON, SandboxHost};

const UPLOAD: &str = "POST /p/active/weChatOa/upload HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test]
async fn slow_body_is_cut_after_ten_seconds() {
    let gateway = Gateway::start().await;
    let start = Instant::now();
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("{UPLOAD}content-length: 1000\r\n\r\n{{")).await;
    client.drip(std::iter::repeat_n("x", 200), millis(100)).await;
    client.answer().await.assert_failure(504, 4003);
    let took = start.elapsed();
    assert!((millis(9_500)..millis(16_000)).contains(&took), "{took:?}");
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

#[test]
fn default_limits_keep_idle_proxies_and_cut_endless_heads() {
    let limits = Limits::default();
    assert!((75..=90).contains(&limits.head.as_secs()), "{limits:?}");
    assert!(limits.head_when_nearly_full < limits.head);
    assert!(limits.write_stall.as_secs() <= 30);
}

#[tokio::test]
async fn endless_head_is_cut() {
    let limits = Limits {
        head: millis(1_000),
        ..Limits::default()
    };
    let server = BareServer::start(limits).await;
    let drip = || std::iter::repeat_n("x", 200);
    let mut first = Raw::connect(server.address).await;
    first.send("GET /a HTTP/1.1\r\nx-slow: ").await;
    assert!(first.drip(drip(), millis(100)).await, "the first head");
    let mut second = Raw::connect(server.address).await;
    second.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(second.answer().await.body, "/a ");
    second.send("GET /a HTTP/1.1\r\n").await;
    assert!(second.is_cut_within(SOON).await, "a second head that stops");
}

/// A proxy keeps idle connections for a minute, and loses a request that it sends while the server closes one.
#[tokio::test]
async fn idle_connection_is_closed_after_the_head_timeout() {
    let limits = Limits {
        head: millis(4_000),
        ..Limits::default()
    };
    let server = BareServer::start(limits).await;
    let mut client = Raw::connect(server.address).await;
    for pause in [0, 400, 2_500, 2_500] {
        client.idle(millis(pause)).await;
        client.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body, "/a ");
    }
    assert!(client.is_cut_within(millis(12_000)).await, "not for ever");
    let limits = Limits {
        head: millis(100),
        ..Limits::default()
    };
    let server = BareServer::start(limits).await;
    assert!(
        Raw::connect(server.address).await.is_cut_within(SOON).await,
        "without a word"
    );
}

#[tokio::test]
async fn stalled_body_fails_for_its_reader() {
    let limits = Limits {
        body_stall: millis(100),
        ..Limits::default()
    };
    let server = BareServer::start(limits).await;
    let mut client = Raw::connect(server.address).await;
    client
        .send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    assert_eq!(
        client.answer().await.body,
        "/a data was not received within the designated timeout"
    );
}

#[tokio::test]
async fn unread_response_is_abandoned() {
    let limits = Limits {
        write_stall: millis(200),
        ..Limits::default()
    };
    let (taken, mut pieces) = tokio::sync::mpsc::unbounded_channel();
    let taken = std::sync::Mutex::new(Some(taken));
    let taken = std::sync::Arc::new(taken);
    let routes = Router::new().fallback(move |_: Request<Body>| {
        let taken = taken.lock().unwrap().take().expect("one request");
        // The response is endless. When it is dropped, so is its end of the channel.
        let body = futures_util::stream::repeat_with(move || {
            taken.send(()).unwrap();
            Ok::<_, Infallible>(Bytes::from(vec![7; 64 * 1024]))
        });
        async { Response::new(Body::from_stream(body)) }
    });
    let server = BareServer::serving(limits, routes).await;
    let mut client = Raw::connect(server.address).await;
    client.send(HEALTH).await;
    let given_up = async { while pieces.recv().await.is_some() {} };
    assert!(tokio::time::timeout(LIMIT, given_up).await.is_ok());
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let gateway = Gateway::start().await;
    let huge_header = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let huge_path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    for (what, head) in [("header", huge_header), ("path", huge_path), ("headers", many)] {
        let mut client = Raw::connect(gateway.address).await;
        client.try_send(head).await;
        // A client that is still sending may miss the answer, but never gets another one.
        let refusal = client.refusal(SOON).await;
        assert!(matches!(refusal, None | Some(431)), "{what}: {refusal:?}");
    }
    assert_eq!(gateway.get("/healthz").await.status, 200);
    // What fits reaches the route, which has a limit and a message of its own.
    let page = format!("https://a.cn/{}", "%E4".repeat(4_000));
    let answer = gateway.sign(&page).await;
    assert_eq!(answer.code(), (400, 1001), "{answer:?}");
    assert!(answer.body["message"].as_str().unwrap().contains("8192"), "{answer:?}");
    let longest = format!("https://a.cn/{}", "中".repeat((8_192 - 13) / 3));
    assert_eq!(gateway.sign(&longest).await.code(), (200, 0));
    let cookies = gateway.request("GET", "/healthz").header("cookie", "x".repeat(16_000));
    assert_eq!(gateway.send(cookies).await.status, 200);
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let gateway = Gateway::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client"[..],
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: a\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
    ] {
        let mut client = Raw::connect(gateway.address).await;
        client.send(bytes).await;
        assert_eq!(client.refusal(SOON).await, Some(400), "{bytes:?}");
    }
    // The same after a good request.
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("{HEALTH}nonsense\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.refusal(SOON).await, Some(400));
}

#[tokio::test]
async fn request_smuggling_in_a_body_is_impossible() {
    let gateway = Gateway::start().await;
    let smuggled = "GET /wechat/jsSDK HTTP/1.1\r\nhost: a\r\n\r\n";
    // Contradictory lengths and unsupported codings: the request is refused.
    for framing in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5, 6\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let mut client = Raw::connect(gateway.address).await;
        client.send(format!("{UPLOAD}{framing}\r\n0\r\n\r\n{smuggled}")).await;
        assert_eq!(client.refusal(SOON).await, Some(400), "{framing}");
    }
    // A length beside a coding: the coding counts (RFC 9112, section 6.3), and nothing after it does.
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let mut client = Raw::connect(gateway.address).await;
        client.send(format!("{UPLOAD}{framing}\r\n0\r\n\r\n{smuggled}")).await;
        let answer = client.answer().await;
        answer.assert_failure(400, 1001);
        assert!(answer.body.contains("JSON"), "an empty body: {answer:?}");
        assert!(client.is_cut_within(SOON).await, "{framing}: a second answer");
    }
    // HTTP/1.0 knows no chunks.
    let mut client = Raw::connect(gateway.address).await;
    let old = UPLOAD.replace("1.1", "1.0");
    client
        .send(format!("{old}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"))
        .await;
    assert_eq!(client.refusal(SOON).await, Some(400));
    // A malformed chunk size closes the connection.
    let mut client = Raw::connect(gateway.address).await;
    client
        .send(format!("{UPLOAD}transfer-encoding: chunked\r\n\r\nzz\r\n{smuggled}"))
        .await;
    client.answer().await.assert_failure(400, 1001);
    assert!(client.is_cut_within(SOON).await);
}

/// A body's reader may be slower than the answer, as WeChat may be at the other end of the pass-through.
#[tokio::test]
async fn unread_body_is_never_parsed_as_a_request() {
    let routes = Router::new().fallback(async |request: Request<Body>| {
        tokio::spawn(async move {
            let _unread = request.into_body();
            std::future::pending::<()>().await;
        });
        Response::new(Body::from("early"))
    });
    let limits = Limits {
        body_stall: millis(1_500),
        ..Limits::default()
    };
    let server = BareServer::serving(limits, routes).await;
    let mut client = Raw::connect(server.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.body, "early");
    client.idle(millis(500)).await;
    client.try_send("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.is_silent_for(millis(500)).await, "a second answer");
    assert!(client.is_cut_within(SOON).await, "a second answer");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let gateway = Gateway::start().await;
    let mut client = Raw::connect(gateway.address).await;
    client
        .send(format!("{HEALTH}GET /nope HTTP/1.1\r\nhost: a\r\n\r\n{HEALTH}GET /hea"))
        .await;
    assert_eq!(client.answer().await.status, 200);
    client.answer().await.assert_failure(404, 1009);
    assert_eq!(client.answer().await.status, 200);
    // The incomplete fourth request is kept until the rest arrives.
    client.idle(millis(1_500)).await;
    client.send("lthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn half_closed_client_is_answered() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(crate::support::TINY_PHOTO);
    let body = format!("{{\"mediaId\":\"{photo}\"}}");
    let mut client = Raw::connect(gateway.address).await;
    client
        .send(format!("{UPLOAD}content-length: {}\r\n\r\n{body}", body.len()))
        .await;
    client.shut().await;
    assert_eq!(client.answer().await.code(), (200, 0));
    assert!(client.is_cut_within(SOON).await);
    // Half a request is not answered.
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("{UPLOAD}content-length: 100\r\n\r\n{body}")).await;
    client.shut().await;
    client.answer().await.assert_failure(400, 1001);
}

#[tokio::test]
async fn early_response_reaches_a_client_that_is_still_sending() {
    let gateway = Gateway::start().await;
    let mut client = Raw::connect(gateway.address).await;
    client.send(format!("{UPLOAD}content-length: 100000\r\n\r\n")).await;
    client.try_send("x".repeat(100_000)).await;
    client.answer().await.assert_failure(413, 1007);
}

#[tokio::test]
async fn connections_above_the_limit_wait_on_both_listeners() {
    let budget = ConnectionLimit::new(3);
    let (one, other) = (
        BareServer::with_connections(budget.clone()).await,
        BareServer::with_connections(budget).await,
    );
    let mut held = Vec::new();
    // Each listener keeps one place for the connection that it accepts next.
    for address in [one.address, one.address] {
        let mut client = Raw::connect(address).await;
        client.send(HEALTH).await;
        client.answer().await;
        held.push(client);
    }
    let mut waiting = Raw::connect(other.address).await;
    waiting.send(HEALTH).await;
    let mut also_waiting = Raw::connect(one.address).await;
    also_waiting.send(HEALTH).await;
    let (first, second) = tokio::join!(
        waiting.is_cut_within(millis(300)),
        also_waiting.is_cut_within(millis(300))
    );
    assert!(!first && !second, "they wait");
    held.clear();
    assert_eq!(waiting.answer().await.status, 200);
    assert_eq!(also_waiting.answer().await.status, 200);
}

#[tokio::test]
async fn thousands_of_idle_connections_take_little_memory() {
    const CONNECTIONS: usize = 1_000;
    let sandbox = SandboxHost::start(wxgate::sandbox::SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&Gateway::builder(), &sandbox).await;
    gateway.until_ready().await;
    let mut clients = Vec::new();
    let mut before = 0;
    // The first half also allocates what the process needs only once.
    for number in 0..2 * CONNECTIONS {
        if number == CONNECTIONS {
            before = gateway.memory("VmRSS:");
        }
        let mut client = Raw::connect(gateway.address).await;
        client.send(HEALTH).await;
        assert_eq!(client.answer().await.status, 200);
        clients.push(client);
    }
    let each = gateway.memory("VmRSS:").saturating_sub(before) * 1024 / CONNECTIONS as u64;
    // Measured: 13.3 KB, most of it hyper's buffers.
    assert!(each <= 15 * 1024, "{each} bytes for an idle connection");
    for client in &mut clients {
        client.send(HEALTH).await;
        assert_eq!(client.answer().await.status, 200, "and all of them work");
    }
}
