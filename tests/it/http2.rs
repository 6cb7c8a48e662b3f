//! HTTP/2 without TLS, as a proxy speaks it to what is behind it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use wxgate::server::Limits;

use crate::support::{Gateway, GatewayProcess, Raw, SOON, SandboxHost, Small};

/// A client of HTTP/2 without TLS that has not been told that it may (RFC 9113, section 3.3).
async fn http2(
    address: SocketAddr,
) -> (
    hyper::client::conn::http2::SendRequest<Body>,
    tokio::task::JoinHandle<hyper::Result<()>>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(address: SocketAddr, path: &str) -> Request<Body> {
    Request::get(format!("http://{address}{path}"))
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn http2_without_tls_is_spoken() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let (mut sender, _) = http2(gateway.address).await;
    let page = get(gateway.address, "/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2F");
    let answers = (0..300).map(|_| sender.send_request(page.clone_request()));
    let answers = futures_util::future::join_all(answers).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200))
    );
    let answer = sender.send_request(get(gateway.address, "/nope")).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.headers().contains_key("x-request-id"));
}

/// Requests that can be sent again.
trait CloneRequest {
    fn clone_request(&self) -> Self;
}

impl CloneRequest for Request<Body> {
    fn clone_request(&self) -> Self {
        Request::get(self.uri().clone()).body(Body::empty()).unwrap()
    }
}

#[tokio::test]
async fn a_quiet_http2_connection_is_asked_to_end() {
    let limits = Limits {
        http2_idle: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Small::start(limits).await;
    let (mut sender, connection) = http2(server.address).await;
    assert_eq!(
        sender.send_request(get(server.address, "/a")).await.unwrap().status(),
        200
    );
    let ended = tokio::time::timeout(SOON, connection).await.unwrap().unwrap();
    assert!(ended.is_ok(), "a clean end: {ended:?}");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn floods_of_http2_frames_end_their_own_connection_only() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // `GET / http`, from HPACK's static table.
    const HEADERS: &[u8] = &[0x82, 0x84, 0x86];
    let sandbox = SandboxHost::start(wxgate::sandbox::SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&Gateway::builder(), &sandbox).await;
    let before = gateway.memory("VmRSS:");
    let resets = (0..20_000).flat_map(|i| {
        let stream = 2 * i + 1;
        [frame(1, 5, stream, HEADERS), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let pings = (0..20_000).flat_map(|_| frame(6, 0, 0, &[0; 8]));
    let settings = (0..20_000).flat_map(|_| frame(4, 0, 0, &[]));
    let endless_head = std::iter::once(frame(1, 1, 1, HEADERS))
        .chain((0..2_000).map(|_| {
            frame(
                9,
                0,
                1,
                &[[0x40, 0x01, b'x', 0x7f, 0xe1, 0x1e].as_slice(), &[b'y'; 4_000]].concat(),
            )
        }))
        .flatten();
    let empty_continuations = std::iter::once(frame(1, 1, 1, HEADERS))
        .chain((0..20_000).map(|_| frame(9, 0, 1, &[])))
        .flatten();
    let floods: [(&str, Vec<u8>); 5] = [
        ("resets", resets.collect()),
        ("pings", pings.collect()),
        ("settings", settings.collect()),
        ("an endless head", endless_head.collect()),
        ("empty continuations", empty_continuations.collect()),
    ];
    for (what, flood) in floods {
        let mut client = Raw::connect(gateway.address).await;
        client.send([PREFACE, &frame(4, 0, 0, &[])].concat()).await;
        client.try_send(flood).await;
        let answer = gateway.get("/healthz").await;
        assert_eq!(answer.status, 200, "{what}");
    }
    let grown = gateway.memory("VmRSS:").saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB");
}
