//! Bodies: streamed if their length is known, buffered if they come in chunks.

use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wxgate::sandbox::Api;

use super::{Echo, OWN, form, refusal};
use crate::support::{Gateway, Raw, TINY_PHOTO, photo};

/// A body of these pieces, which reqwest sends in chunks.
fn chunked(pieces: Vec<Vec<u8>>) -> reqwest::Body {
    let pieces = pieces
        .into_iter()
        .map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

/// The same for a body whose pieces the test sends one by one.
fn fed() -> (mpsc::Sender<Bytes>, reqwest::Body) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, reqwest::Body::wrap_stream(pieces))
}

/// What `wxgate_internal_refusals_total` counts for this reason.
async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway
        .metric(&format!("wxgate_internal_refusals_total{{reason=\"{reason}\"}}"))
        .await
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
async fn a_large_upload_streams_and_keeps_its_length() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    let bytes = vec![5_u8; 3_000_000];
    let request = gateway
        .internal_request("POST", "/cgi-bin/media/upload")
        .body(bytes.clone());
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    assert!(answer == bytes);
    let headers = echo.last().headers;
    // WeChat accepts no upload without a length.
    assert_eq!(headers["content-length"], "3000000");
    assert!(!headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn chunked_body_goes_out_with_its_length() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for size in [0, 1, 70_000, 3_000_000] {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        let pieces = bytes.chunks(9_999).map(<[u8]>::to_vec).collect();
        let request = gateway.internal_request("POST", "/wxa/a").body(chunked(pieces));
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        assert!(answer == bytes, "{size}");
        let headers = echo.last().headers;
        assert_eq!(headers["content-length"], size.to_string().as_str());
        assert!(!headers.contains_key("transfer-encoding"));
    }
}

#[tokio::test]
async fn chunked_upload_is_taken_by_wechat_and_repeated_with_a_new_token() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    gateway.wechat.kill_token();
    let mut bytes = TINY_PHOTO.to_vec();
    bytes.resize(300_000, 7);
    let head = "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.jpg\"\r\n\r\n";
    let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
    let request = gateway
        .internal_request("POST", &path)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(chunked(vec![head.into(), bytes.clone(), b"\r\n--b--\r\n".to_vec()]));
    let answer = gateway.send(request).await;
    assert!(answer.body["media_id"].is_string(), "{answer:?}");
    assert!(gateway.wechat.sandbox.calls(Api::MediaUpload) <= 2);
}

#[tokio::test]
async fn post_without_a_body_goes_out_with_length_zero() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for method in ["POST", "PUT", "PATCH"] {
        let mut client = Raw::connect(gateway.internal).await;
        client
            .send(format!("{method} /cgi-bin/x HTTP/1.1\r\nHost: wxgate\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(echo.last().headers["content-length"], "0", "{method}");
    }
    gateway.internal_get("/cgi-bin/x").await;
    assert!(!echo.last().headers.contains_key("content-length"));

    let gateway = Gateway::start().await;
    let account = gateway.wechat.account();
    let (id, secret) = (account.app_id, account.secret.expose().to_owned());
    let path = format!("/cgi-bin/clear_quota/v2?appid={id}&appsecret={secret}");
    let answer = gateway.send(gateway.internal_request("POST", &path)).await;
    assert_eq!(answer.body["errcode"], 0, "{answer:?}");
}

#[tokio::test]
async fn chunked_body_beyond_20_mib_is_refused() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    let mebibytes = |count| chunked(vec![vec![1; 1 << 20]; count]);
    let post = |body| gateway.internal_request("POST", "/cgi-bin/x").body(body);
    for count in [21, 30] {
        let answer = gateway.send(post(mebibytes(count))).await;
        assert_eq!(refusal(&answer), (413, 45001), "{answer:?}");
    }
    assert!(echo.calls().is_empty());
    assert!((refused(&gateway, "body_too_large").await - 2.0).abs() < 0.1);
    let answer = post(mebibytes(20)).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 20 << 20);
    // One whose length is known is streamed, and may be longer.
    let answer = gateway
        .internal_request("POST", "/cgi-bin/x")
        .body(vec![1; 21 << 20])
        .send();
    assert_eq!(answer.await.unwrap().bytes().await.unwrap().len(), 21 << 20);
}

#[tokio::test]
async fn refusal_reaches_a_client_that_first_sends_its_whole_body() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for (line, status) in [
        (
            "POST /cgi-bin/x HTTP/1.1\r\nAuthorization: Bearer wrong\r\nContent-Length: 8000000\r\n",
            200,
        ),
        ("POST /cgi-bin/%74oken HTTP/1.1\r\nContent-Length: 8000000\r\n", 404),
    ] {
        let mut client = Raw::connect(gateway.internal).await;
        client.send(format!("{line}Host: wxgate\r\n\r\n")).await;
        client.send(vec![b'x'; 8_000_000]).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains("errcode"), "{answer:?}");
    }
    assert!(echo.calls().is_empty());
}

#[tokio::test]
async fn full_proxy_buffer_is_answered_with_503() {
    let (echo, gateway) = Echo::behind(Gateway::builder().set("internal.proxy_buffer", "1MiB")).await;
    let post = |body| gateway.internal_request("POST", "/cgi-bin/x").body(body);
    let half = || Bytes::from(vec![1; 512 << 10]);
    // If a second body comes while the first one is arriving, either may find the buffer full.
    let mut attempts = 0..20;
    let (feed, first, answer) = loop {
        attempts.next().expect("the buffer is never full");
        let (feed, body) = fed();
        let first = tokio::spawn(post(body).send());
        feed.send(half()).await.unwrap();
        // The second piece is taken once the first is on its way.
        feed.send(Bytes::from_static(b"x")).await.unwrap();
        tokio::task::yield_now().await;
        let second = async || gateway.send(post(chunked(vec![vec![1; 512 << 10]]))).await;
        let answer = [second().await, second().await, second().await]
            .into_iter()
            .find(|answer| answer.status == 503);
        if let Some(answer) = answer {
            break (feed, first, answer);
        }
    };
    assert_eq!(refusal(&answer), (503, -1));
    assert!(answer.retry_after() >= 1, "{answer:?}");
    assert!(refused(&gateway, "proxy_buffer_full").await >= 1.0);
    // Small bodies are kept too, so that the call can be repeated.
    assert_eq!(gateway.send(post("small".into())).await.status, 200);
    drop(feed);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    let passed = echo.calls().len();
    for _ in 0..5 {
        let answer = gateway.send(post(chunked(vec![vec![1; 1 << 20]]))).await;
        assert_eq!(answer.status, 200, "the places are free again: {answer:?}");
    }
    assert_eq!(echo.calls().len(), passed + 5);
}

#[tokio::test]
async fn steady_stream_may_outlast_the_timeout() {
    let builder = Gateway::builder().set("wechat.timeout", "2s");
    let builder = builder.set("wechat.connect_timeout", "1s");
    let (_, gateway) = Echo::behind(builder).await;
    let (sender, body) = fed();
    let request = gateway
        .internal_request("POST", "/slow")
        .header("content-length", 200_000)
        .body(body);
    let started = Instant::now();
    let feeding = tokio::spawn(async move {
        for _ in 0..10 {
            sender.send(Bytes::from(vec![1; 20_000])).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
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
    assert!(started.elapsed() > Duration::from_secs(2));
    feeding.await.unwrap();
}

/// A WeChat that takes the first 12 MiB of a body at 4 MiB/s, and answers with the body's length.
fn slow_reader() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    // With a larger buffer the system would take most of the body at once.
    socket.set_recv_buffer_size(256 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(64).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async |request: Request| {
        let uri = request.uri().to_string();
        if let Some((_, own)) = OWN.iter().find(|(path, _)| uri == *path) {
            return (*own).to_owned();
        }
        let (mut length, mut body) = (0, request.into_body().into_data_stream());
        while let Some(piece) = body.next().await {
            let piece = piece.unwrap().len();
            length += piece;
            if length < 12 << 20 {
                let seconds = f64::from(u32::try_from(piece).unwrap()) / f64::from(4 << 20);
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
        length.to_string()
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn wechat_may_take_longer_than_the_timeout_to_receive_a_body() {
    let gateway = Gateway::builder()
        .set("wechat.api_base_url", slow_reader())
        .set("wechat.timeout", "1s")
        .set("wechat.connect_timeout", "200ms")
        .start()
        .await;
    let bytes = || vec![vec![1; 1 << 20]; 19];
    for body in [chunked(bytes()), bytes().concat().into()] {
        let started = Instant::now();
        let request = gateway.internal_request("POST", "/cgi-bin/media/upload").body(body);
        let answer = request.send().await.unwrap();
        let answer = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(answer, (200, (19 << 20).to_string()));
        assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn long_body_goes_to_the_host_that_can_be_reached() {
    let (_, url) = Echo::start().await;
    let dead_url = format!("http://{}", crate::support::free_address());
    let gateway = Gateway::builder()
        .set("wechat.api_base_url", dead_url)
        .set("wechat.fallback_base_urls", url)
        .start()
        .await;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    for body in [chunked(vec![bytes.clone()]), bytes.clone().into()] {
        let request = gateway.internal_request("POST", "/cgi-bin/media/upload").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.unwrap() == bytes);
    }
}
