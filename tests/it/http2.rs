//! HTTP/2 is not spoken: browsers speak it to the proxy in front.

use crate::support::{Gateway, Raw, SOON};

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test]
async fn http2_preface_is_refused_on_both_listeners() {
    let gateway = Gateway::start().await;
    for address in [gateway.address, gateway.internal] {
        let mut client = Raw::connect(address).await;
        client.send(PREFACE).await;
        // hyper answers nothing or an HTTP/1.1 refusal, and closes the connection.
        let said = client.everything_within(SOON).await.expect("it hangs up");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
    }
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn upgrade_to_http2_is_ignored() {
    let gateway = Gateway::start().await;
    let mut client = Raw::connect(gateway.address).await;
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    client
        .send(format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
}
