//! Upload services: their refusals, their messages, and the ways in which they give a picture's URL.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use tokio::net::TcpSocket;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayBuilder, GatewayProcess, ImageService, SandboxHost, photo, until};

fn with(service: &ImageService) -> GatewayBuilder {
    Gateway::builder()
        .set("image_store.backend", "http")
        .set("image_store.http.url", service.url())
}

/// What one upload through a gateway with this service gives.
async fn stored_url(builder: GatewayBuilder) -> Result<String, (u16, i64)> {
    let answer = builder.start().await.upload_new_photo().await;
    match answer.code() {
        (200, 0) => Ok(answer.body["data"].as_str().unwrap().to_owned()),
        failure => Err(failure),
    }
}

#[tokio::test]
async fn refusal_of_the_service_costs_one_download_and_is_logged_in_its_own_words() {
    // The operator has the wrong success_value: the service has stored the picture each time.
    let service = ImageService::answering(|_| {
        r#"{"code":200,"message":"quota of key hunter2-hunter2 \u2028 at http://a.cn/x?sign=abc: 10%","data":"https://img.example.com/a.jpg"}"#
            .into_response()
    })
    .await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = with(&service).set(
        "image_store.http.headers",
        "{ Authorization = \"Bearer hunter2-hunter2\" }",
    );
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    let answer = gateway.upload_new_photo().await;
    assert_eq!(answer.code(), (502, 3001), "{answer:?}");
    assert!(!answer.body.to_string().contains("quota"), "{answer:?}");
    until("the failure is logged", || async {
        !gateway.logged("upload failed").is_empty()
    })
    .await;
    assert_eq!((service.forms().len(), wechat.sandbox.calls(Api::MediaGet)), (1, 1));
    let log = gateway.log().join("\n");
    assert!(log.contains("its answer has 200 at /code"), "{log}");
    assert!(log.contains("quota of key ******** "), "{log}");
    for hidden in ["hunter2", "sign=abc", "\u{2028}", "trying again"] {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}

#[tokio::test]
async fn failure_that_may_pass_is_tried_again() {
    for status in [408, 425, 429, 500, 502, 503, 504, 507] {
        let status = StatusCode::from_u16(status).unwrap();
        let service = ImageService::answering(move |number| match number {
            1 => (status, "busy").into_response(),
            _ => r#"{"code":0,"data":"https://img.example.com/a.jpg"}"#.into_response(),
        })
        .await;
        let url = stored_url(with(&service)).await;
        assert_eq!(url.as_deref(), Ok("https://img.example.com/a.jpg"), "{status}");
        assert_eq!(service.forms().len(), 2, "{status}");
    }
    for status in [301, 400, 401, 403, 404, 409, 413, 415, 422] {
        let status = StatusCode::from_u16(status).unwrap();
        let service = ImageService::answering(move |_| (status, r#"{"msg":"no"}"#).into_response()).await;
        assert_eq!(stored_url(with(&service)).await, Err((502, 3001)), "{status}");
        assert_eq!(service.forms().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn url_is_the_body_a_header_or_a_path_below_the_public_base() {
    /// What the service answers, the settings, and the URL for the page.
    type Case<'a> = (fn() -> Response, &'a [(&'a str, &'a str)], Result<&'a str, ()>);
    let based = ("public_base_url", "https://img.example.com/files/");
    let body = ("url_pointer", "body");
    let location = ("url_pointer", "header:Location");
    let created = || (StatusCode::CREATED, [(header::LOCATION, "/a.jpg")]).into_response();
    let bare = || "  https://img.example.com/a.jpg\n".into_response();
    let path = || r#"{"code":0,"data":"group1/M00/x.jpg"}"#.into_response();
    let endless = || {
        let begun = stream::iter([Ok::<_, std::io::Error>("begun")]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        (StatusCode::CREATED, [(header::LOCATION, "/a.jpg")], body).into_response()
    };
    let cases: [Case<'_>; 11] = [
        (bare, &[body], Ok("https://img.example.com/a.jpg")),
        (
            || "group1/M00/x.jpg".into_response(),
            &[body, based],
            Ok("https://img.example.com/files/group1/M00/x.jpg"),
        ),
        (
            || "照片/a.jpg?v=2".into_response(),
            &[body, based],
            Ok("https://img.example.com/files/%E7%85%A7%E7%89%87/a.jpg?v=2"),
        ),
        (
            || "HTTPS://cdn.example.com/A.jpg".into_response(),
            &[body],
            Ok("https://cdn.example.com/A.jpg"),
        ),
        (|| "<html>It works!</html>".into_response(), &[body, based], Err(())),
        (created, &[location, based], Ok("https://img.example.com/files/a.jpg")),
        (endless, &[location, based], Ok("https://img.example.com/files/a.jpg")),
        (created, &[location], Err(())),
        (|| "{}".into_response(), &[location, based], Err(())),
        (path, &[based], Ok("https://img.example.com/files/group1/M00/x.jpg")),
        (path, &[], Err(())),
    ];
    for (number, (answer, settings, expected)) in cases.into_iter().enumerate() {
        let service = ImageService::answering(move |_| answer()).await;
        let builder = settings.iter().fold(with(&service), |builder, (key, value)| {
            builder.set(&format!("image_store.http.{key}"), value)
        });
        let url = stored_url(builder).await;
        let expected = expected.map(str::to_owned).map_err(|()| (502, 3001));
        assert_eq!(url, expected, "case {number}");
        assert_eq!(service.forms().len(), 1, "case {number}");
    }
}

#[tokio::test]
async fn url_that_is_none_of_the_web_is_a_refusal() {
    for url in [
        "javascript:alert(1)",
        "javascript://a.cn/%0aalert(1)",
        "data:text/html,x",
        "ftp://a.cn/x.jpg",
        "https://user:word@a.cn/x.jpg",
        r"https:\\\\a.cn\\x.jpg",
        r"C:\\pictures\\x.jpg",
        "//evil.example.com/a.jpg",
        r"https://a.cn/\u0000a.jpg",
        r"https://a.cn/\r\nSet-Cookie: a=b",
        "../../etc/passwd",
        "../h5-of-others/a.jpg",
        "../h5",
        "a/..",
        "%2e%2e/x.jpg",
        "a b.jpg",
        "a\u{2028}b.jpg",
        "{}",
        "/",
        "<html></html>",
    ] {
        let answer = format!(r#"{{"code":0,"data":"{url}"}}"#);
        let service = ImageService::answering(move |_| answer.clone().into_response()).await;
        let based = with(&service).set("image_store.http.public_base_url", "https://img.example.com/h5");
        assert_eq!(stored_url(based).await, Err((502, 3001)), "{url}");
    }
}

#[tokio::test]
async fn form_fields_are_sent_before_the_file_and_are_secrets() {
    let service = ImageService::start().await;
    let file = "[image_store.http.fields]\nuploadPath = \"h5\"\n\"a\\\"b\" = \"hunter2-hunter2\"\n";
    let builder = with(&service).file(file);
    stored_url(builder.clone()).await.unwrap();
    let form = service.forms().remove(0);
    let at = |text: &str| form.find(text).unwrap_or_else(|| panic!("no {text} in {form}"));
    let path = at("Content-Disposition: form-data; name=\"uploadPath\"\r\n\r\nh5\r\n");
    let secret = at("Content-Disposition: form-data; name=\"a%22b\"\r\n\r\nhunter2-hunter2\r\n");
    let picture = at("Content-Disposition: form-data; name=\"file\"; filename=");
    assert!(path < picture && secret < picture);
    assert!(service.headers()[0].contains_key(header::CONTENT_LENGTH));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let masked = Gateway::builder()
        .set("image_store.http.fields", "{ sign = \"hunter2-hunter2\" }")
        .run(&wechat, &["config"])
        .await;
    assert!(masked.out.contains("sign = \"********\""), "{masked:?}");
    assert!(!format!("{masked:?}").contains("hunter2"));
}

#[tokio::test]
async fn endless_refusal_is_not_read_to_its_end() {
    let service = ImageService::answering(|_| {
        let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65536])));
        (StatusCode::FORBIDDEN, Body::from_stream(endless)).into_response()
    })
    .await;
    assert_eq!(stored_url(with(&service)).await, Err((502, 3001)));
    assert_eq!(service.forms().len(), 1);
}

#[tokio::test]
async fn photo_may_arrive_for_longer_than_the_services_timeout() {
    let service = ImageService::start().await;
    let gateway = with(&service).set("image_store.http.timeout", "500ms").start().await;
    gateway.until_ready().await;
    let photo = photo("portrait.jpg");
    let bytes = photo.len().div_ceil(15);
    let steady = Fault::Drip { bytes, millis: 100 };
    gateway.wechat.sandbox.inject(steady.on(Api::MediaGet));
    let started = Instant::now();
    let answer = gateway.upload(&gateway.wechat.takes_photo(&photo)).await;
    assert_eq!(answer.code(), (200, 0), "{answer:?}");
    assert!(started.elapsed() > Duration::from_secs(1));
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaGet), 1);
}

#[tokio::test]
async fn service_that_stops_reading_is_given_up_after_its_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    // With a larger buffer the system would take the whole picture.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = socket.listen(8).unwrap();
    let gateway = Gateway::builder()
        .set("image_store.backend", "http")
        .set(
            "image_store.http.url",
            format!("http://{}", silent.local_addr().unwrap()),
        )
        .set("image_store.http.attempts", 1)
        .set("image_store.http.timeout", "500ms")
        .start()
        .await;
    gateway.until_ready().await;
    let mut photo = photo("portrait.jpg");
    photo.resize(9 << 20, 0);
    let started = Instant::now();
    let answer = gateway.upload(&gateway.wechat.takes_photo(&photo)).await;
    assert_eq!(answer.code(), (504, 3001), "{answer:?}");
    // `wechat.media_timeout` is 30 s.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
