//! CORS for pages of other origins, and the security headers of our own.

use serde_json::json;

use crate::support::{Answer, Gateway, GatewayBuilder};

const SIGN: &str = "/wechat/jsSDK?url=https%3A%2F%2Fa.cn";
const UPLOAD: &str = "/p/active/weChatOa/upload";
const PAGE: &str = "https://h5.example.com";

fn for_origins(origins: &str) -> GatewayBuilder {
    Gateway::builder().set("server.cors_allowed_origins", origins)
}

async fn preflight(gateway: &Gateway, origin: &str, path: &str, method: &str, headers: &str) -> Answer {
    let request = gateway.request("OPTIONS", path);
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers);
    gateway.send(request).await
}

#[tokio::test]
async fn allowed_origins_may_call_both_routes() {
    let gateway = for_origins("https://h5.example.com,https://shop.example.com")
        .start()
        .await;
    for (path, method, headers) in [
        (SIGN, "GET", "x-request-id"),
        (UPLOAD, "POST", "content-type,authorization"),
        (UPLOAD, "POST", "content-type,x-api-key"),
    ] {
        let answer = preflight(&gateway, PAGE, path, method, headers).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert!(answer.header("access-control-allow-methods").contains(method));
        for header in headers.split(',') {
            assert!(
                answer.header("access-control-allow-headers").contains(header),
                "{answer:?}"
            );
        }
        // Pages authenticate with a header of their own; cookies are not allowed.
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert!(answer.header("vary").contains("origin"), "{answer:?}");
        assert_eq!(answer.header("access-control-max-age"), "3600");
        assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn trace_headers_and_configured_headers_are_allowed() {
    let gateway = for_origins(PAGE)
        .set("server.cors_allowed_headers", "X-Tenant,x-env")
        .start()
        .await;
    let sent = "content-type,authorization,x-api-key,x-request-id,traceparent,tracestate,baggage,x-tenant,x-env";
    for (path, method) in [(SIGN, "GET"), (UPLOAD, "POST")] {
        let answer = preflight(&gateway, PAGE, path, method, sent).await;
        let allowed = answer.header("access-control-allow-headers").to_owned();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        for header in sent.split(',') {
            assert!(allowed.contains(&header), "{header}: {answer:?}");
        }
        assert!(!allowed.contains(&"x-else") && !allowed.contains(&"*"), "{answer:?}");
    }
}

#[tokio::test]
async fn credentials_are_allowed_to_named_origins_if_configured() {
    let gateway = for_origins(PAGE)
        .set("server.cors_allow_credentials", true)
        .start()
        .await;
    let answer = preflight(&gateway, PAGE, UPLOAD, "POST", "content-type").await;
    assert_eq!(answer.header("access-control-allow-credentials"), "true", "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    let answer = gateway.send(gateway.request("GET", SIGN).header("origin", PAGE)).await;
    assert_eq!(answer.header("access-control-allow-credentials"), "true", "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    let answer = preflight(&gateway, "https://evil.cn", UPLOAD, "POST", "content-type").await;
    assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
}

#[tokio::test]
async fn cors_exposes_failures_and_retry_after() {
    let gateway = for_origins(PAGE)
        .set("auth.mode", "api_key")
        .set("auth.api_keys", "a-key-that-is-long-enough");
    let gateway = gateway.set("rate_limit.jssdk_per_second", 1).start().await;
    let from = |request: reqwest::RequestBuilder| request.header("origin", PAGE);
    let upload = || gateway.request("POST", UPLOAD);
    let answers = [
        (401, from(upload().json(&json!({ "mediaId": "x" })))),
        (404, from(gateway.request("GET", "/nope"))),
        (405, from(gateway.request("POST", SIGN))),
        (200, from(gateway.request("GET", SIGN))),
        (429, from(gateway.request("GET", SIGN))),
    ];
    for (status, request) in answers {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{answer:?}");
        let exposed = answer.header("access-control-expose-headers");
        assert!(
            exposed.contains("x-request-id") && exposed.contains("retry-after"),
            "{answer:?}"
        );
        assert!(
            answer.header("vary").contains("origin"),
            "a cache must tell origins apart: {answer:?}"
        );
    }
}

#[tokio::test]
async fn other_origins_are_refused() {
    let gateway = for_origins(PAGE).start().await;
    for origin in [
        "https://evil.cn",
        "http://h5.example.com",
        "https://h5.example.com:8443",
        "https://h5.example.com.evil.cn",
        "https://evilh5.example.com",
        "null",
    ] {
        let answer = preflight(&gateway, origin, UPLOAD, "POST", "content-type").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        let answer = gateway
            .send(gateway.request("GET", SIGN).header("origin", origin))
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        assert!(answer.header("vary").contains("origin"), "{answer:?}");
    }
    // Without the setting there are no CORS headers.
    let gateway = Gateway::start().await;
    let answer = gateway.send(gateway.request("GET", SIGN).header("origin", PAGE)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn cors_wildcard_disallows_credentials() {
    let gateway = for_origins("*").start().await;
    for origin in [PAGE, "https://evil.cn", "null"] {
        let answer = gateway
            .send(gateway.request("GET", SIGN).header("origin", origin))
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn security_headers_are_set() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let picture = gateway.upload_new_photo().await;
    let picture = picture.body["data"].as_str().unwrap();
    for path in [SIGN, "/nope", "/healthz", "/openapi.json", "/docs/", picture] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    // JSON is not rendered, so it may load nothing.
    for (path, policy) in [
        ("/docs/", "script-src 'self';"),
        ("/docs/swagger-ui.css", "script-src 'self';"),
        (picture, "default-src 'none'; sandbox"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        let said = answer.header("content-security-policy");
        assert!(said.contains(policy), "{path}: {said}");
        if path != picture {
            assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
            assert!(said.contains("frame-ancestors 'none'"), "{path}: {said}");
        }
    }
    let console = gateway.internal_get("/console").await;
    assert!(
        console
            .header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
}
