//! Which headers go out, and which come back.

use super::{Echo, sends};
use crate::support::{Gateway, OPERATOR_KEY};

#[tokio::test]
async fn request_passes_through_without_hop_by_hop_headers() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = gateway
            .internal_request(method, "/wxa/a?x=%E4%B8%AD&y=a+b&&z")
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .header("upgrade", "h2c")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("proxy-authorization", "Basic eA==")
            .header("user-agent", "an-sdk/1")
            .header("range", "bytes=0-9")
            .body("body");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-end"], "kept");
        assert!(!answer.headers().contains_key("x-hop") && !answer.headers().contains_key("keep-alive"));
        assert_eq!(answer.text().await.unwrap(), "body");
        let call = echo.last();
        assert_eq!(
            (call.method.as_str(), call.uri.as_str()),
            (method, "/wxa/a?x=%E4%B8%AD&y=a+b&&z")
        );
        assert_eq!(call.headers["user-agent"], "an-sdk/1");
        assert_eq!(call.headers["range"], "bytes=0-9");
        assert_eq!(call.headers["content-length"], "4");
        assert_eq!(call.headers.get_all("x-twice").iter().count(), 2);
        for name in [
            "x-mine",
            "te",
            "trailer",
            "upgrade",
            "proxy-authorization",
            "transfer-encoding",
        ] {
            assert!(!call.headers.contains_key(name), "{name}");
        }
    }
}

/// Headers with keys, or about the caller's address and origin, which are not for WeChat.
const PRIVATE: [&str; 21] = [
    "authorization",
    "cookie",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "x-real-ip",
    "forwarded",
    "referer",
    "origin",
    "via",
    "x-wx-appid",
    "traceparent",
    "x_forwarded_for",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "x-b3-traceid",
    "uber-trace-id",
    "cookie2",
    "x-auth-token",
];

#[tokio::test]
async fn private_headers_never_reach_wechat() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    let mut request = gateway.internal_request("POST", "/cgi-bin/menu/create?access_token=a-foreign-token");
    for name in PRIVATE {
        request = request.header(name, "kept-at-home");
    }
    assert_eq!(request.body("{}").send().await.unwrap().status(), 200);
    let call = echo.last();
    for name in PRIVATE {
        assert!(!call.headers.contains_key(name), "{name}");
    }
    assert!(!format!("{call:?}").contains("kept-at-home"), "{call:?}");
    assert_ne!(call.headers["host"], "wxgate");
}

#[tokio::test]
async fn operator_key_on_a_misspelt_path_stays_here() {
    let builder = Gateway::builder().set("internal.operator_key", OPERATOR_KEY);
    let (echo, gateway) = Echo::behind(builder).await;
    for path in [
        "/credential/wx1/access_token/renew",
        "/credential/wx1/access_token/renew?access_token=a-foreign-token",
        "/credentialsx/wx1/access_token/renew",
        "/Credentials/wx1/access_token/renew",
        "//credentials/wx1/access_token/renew",
    ] {
        let request = gateway.internal_request("POST", path).bearer_auth(OPERATOR_KEY);
        request.send().await.unwrap();
        for call in echo.calls() {
            assert!(!format!("{call:?}").contains(OPERATOR_KEY), "{path}: {call:?}");
        }
    }
}

#[tokio::test]
async fn passed_answers_run_nothing_in_a_browser() {
    let (_, gateway) = Echo::behind(Gateway::builder()).await;
    let answer = gateway.internal_get("/cgi-bin/menu/get").await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-security-policy"), "sandbox");
}

#[tokio::test]
async fn trace_is_refused() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for path in ["/cgi-bin/menu/get", "/cgi-bin/token"] {
        let answer = sends(gateway.internal, &format!("TRACE {path}")).await;
        assert_eq!(answer.status, 405, "{answer:?}");
        assert!(answer.body.contains("\"errcode\":"), "{answer:?}");
    }
    assert!(echo.calls().is_empty());
}
