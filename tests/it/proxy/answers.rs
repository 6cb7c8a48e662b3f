//! WeChat's answers, including odd and broken ones.

use serde_json::json;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, SandboxHost, free_address, photo};

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
        // If WeChat breaks off at once, the gateway's answer may end before its head is sent.
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
        (504, &json!(-1)),
        "{answer:?}"
    );
}

/// WeChat's answer, byte for byte.
fn raw(text: &str) -> Fault {
    Fault::Raw { bytes: text.into() }
}

#[tokio::test]
async fn switch_of_protocols_is_502() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    gateway.wechat.sandbox.inject(raw(switch).on(Api::GetCallbackIp));
    let answer = gateway.calls_wechat(&token).await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (502, &json!(-1)),
        "{answer:?}"
    );
    assert!(answer.header("upgrade").is_empty(), "{answer:?}");
}

#[tokio::test]
async fn answer_with_length_and_chunks_is_not_cut() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    for length in [3, 99] {
        let both = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nwhole\r\n4\r\n all\r\n0\r\n\r\n"
        );
        let rule = gateway.wechat.sandbox.inject(raw(&both).on(Api::GetCallbackIp));
        let answer = gateway.calls_wechat(&token).await;
        assert_eq!((answer.status, &answer.body), (200, &json!("whole all")), "{answer:?}");
        gateway.wechat.sandbox.remove_fault(rule);
    }
}

#[tokio::test]
async fn rejection_behind_a_byte_order_mark_or_a_control_character_is_cured() {
    let gateway = Gateway::start().await;
    let sandbox = &gateway.wechat.sandbox;
    for before in ["\u{feff}", "\u{1}"] {
        let token = gateway.token().await;
        gateway.wechat.kill_token();
        let rejection = Fault::Body {
            body: format!("{before}{}", r#"{"errcode":40001,"errmsg":"invalid credential"}"#),
            content_type: "application/json".to_owned(),
        };
        sandbox.inject(rejection.on(Api::GetCallbackIp).once());
        let answer = gateway.calls_wechat(&token).await;
        assert!(answer.body["ip_list"].is_array(), "{before:?}: {answer:?}");
    }
}
