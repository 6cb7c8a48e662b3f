//! Every row of the code table is provoked, and every answer has the envelope.

use serde_json::json;
use wxgate::sandbox::{Api, End, Fault};

use crate::support::{Answer, Gateway, until};

const PHOTO: &[u8] = b"\xFF\xD8\xFF\xE0 a photo \xFF\xD9";
const UPLOAD: &str = "/p/active/weChatOa/upload";

fn assert_failure(answer: &Answer, status: u16, code: i64, error: &str) {
    answer.assert_envelope();
    assert_eq!(
        (answer.status, answer.body["code"].as_i64().unwrap()),
        (status, code),
        "{answer:?}"
    );
    assert_eq!(answer.body["error"], error);
    assert!(answer.body["data"].is_null());
    assert!(!answer.body["message"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn caller_mistakes_are_answered_with_clear_messages() {
    let gateway = Gateway::start().await;
    for (query, status, code, error, message) in [
        ("", 400, 1001, "PARAM_INVALID", "url不能為空"),
        ("?url=", 400, 1001, "PARAM_INVALID", "url不能為空"),
        ("?url=%20", 400, 1001, "PARAM_INVALID", "url不能為空"),
        ("?url=a.cn", 400, 1002, "URL_INVALID", "absolute"),
        ("?url=ftp%3A%2F%2Fa.cn", 400, 1002, "URL_INVALID", "absolute"),
        (
            "?url=https%253A%252F%252Fa.cn",
            400,
            1002,
            "URL_INVALID",
            "encoded twice or more",
        ),
        ("?url=https://a.cn&appId=unknown", 404, 1004, "ACCOUNT_UNKNOWN", "appId"),
    ] {
        let answer = gateway.get(&format!("/wechat/jsSDK{query}")).await;
        assert_failure(&answer, status, code, error);
        assert!(
            answer.body["message"].as_str().unwrap().contains(message),
            "{query}: {answer:?}"
        );
    }
    let long = format!("https://a.cn/{}", "x".repeat(8192));
    assert_failure(&gateway.sign(&long).await, 400, 1001, "PARAM_INVALID");
}

#[tokio::test]
async fn upload_bodies_are_checked_in_the_tables_order() {
    let gateway = Gateway::start().await;
    let post = |body: &str| {
        gateway
            .request("POST", UPLOAD)
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    for (body, message) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "JSON"),
        ("{}", "serverId不能為空"),
        (r#"{"mediaId":null}"#, "serverId不能為空"),
        (r#"{"mediaId":" "}"#, "serverId不能為空"),
        (r#"{"mediaId":5}"#, "must be a string"),
        (r#"{"mediaId":"a b"}"#, "[A-Za-z0-9_-]"),
        (r#"{"mediaId":"wxLocalResource://1"}"#, "[A-Za-z0-9_-]"),
        (r#"{"mediaId":"a","appId":7}"#, "appId"),
    ] {
        let answer = gateway.send(post(body)).await;
        assert_failure(&answer, 400, 1001, "PARAM_INVALID");
        assert!(
            answer.body["message"].as_str().unwrap().contains(message),
            "{body}: {answer:?}"
        );
    }
    assert_failure(&gateway.upload(&"x".repeat(513)).await, 400, 1001, "PARAM_INVALID");
    assert_failure(
        &gateway.send(post(r#"{"mediaId":"a","appId":"unknown"}"#)).await,
        404,
        1004,
        "ACCOUNT_UNKNOWN",
    );
    // No account is named: the photo is looked for at the first one.
    let unnamed = post(r#"{"mediaId":"a","appId":null}"#);
    assert_failure(&gateway.send(unnamed).await, 404, 2005, "MEDIA_NOT_FOUND");

    let no_type = gateway.request("POST", UPLOAD).body("{}");
    assert_failure(&gateway.send(no_type).await, 415, 1008, "BODY_NOT_JSON");
    let form = gateway
        .request("POST", UPLOAD)
        .header("content-type", "text/plain")
        .body("x".repeat(20_000));
    assert_failure(&gateway.send(form).await, 415, 1008, "BODY_NOT_JSON");

    let large = format!("{{\"mediaId\":\"{}\"}}", "x".repeat(16 * 1024));
    assert_failure(&gateway.send(post(&large)).await, 413, 1007, "BODY_TOO_LARGE");
    let chunks = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let chunked = gateway
        .request("POST", UPLOAD)
        .header("content-type", "application/json");
    assert_failure(
        &gateway.send(chunked.body(reqwest::Body::wrap_stream(chunks))).await,
        413,
        1007,
        "BODY_TOO_LARGE",
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_envelope() {
    let gateway = Gateway::start().await;
    for path in [
        "/",
        "/nope",
        "/wechat/jssdk",
        "/images/../Cargo.toml",
        "/images/nope.jpg",
        "/images/%FF",
        "/docs/%FF",
        "/wechat/jsSDK/",
    ] {
        assert_failure(&gateway.get(path).await, 404, 1009, "NOT_FOUND");
    }
    for (method, path) in [
        ("POST", "/wechat/jsSDK"),
        ("GET", UPLOAD),
        ("DELETE", "/healthz"),
        ("OPTIONS", "/wechat/jsSDK"),
    ] {
        let answer = gateway.send(gateway.request(method, path)).await;
        assert_failure(&answer, 405, 1010, "METHOD_NOT_ALLOWED");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn request_id_of_the_caller_is_returned() {
    let gateway = Gateway::start().await;
    let answer = gateway
        .send(
            gateway
                .request("GET", "/wechat/jsSDK")
                .header("x-request-id", "phone-42.a_b"),
        )
        .await;
    assert_eq!(answer.header("x-request-id"), "phone-42.a_b");
    assert_eq!(answer.body["traceId"], "phone-42.a_b");
    let answer = gateway
        .send(
            gateway
                .request("GET", "/wechat/jsSDK")
                .header("x-request-id", "not\tfit"),
        )
        .await;
    assert_eq!(answer.header("x-request-id").len(), 32);
    answer.assert_envelope();
}

#[tokio::test]
async fn uploads_need_a_key_if_one_is_configured() {
    let gateway = Gateway::builder()
        .set("auth.mode", "api_key")
        .set("auth.api_keys", "first-key,second-key")
        .start()
        .await;
    let body = json!({ "mediaId": "x" });
    let post = || gateway.request("POST", UPLOAD).json(&body);
    assert_failure(&gateway.send(post()).await, 401, 1005, "UNAUTHORIZED");
    assert_failure(
        &gateway.send(post().header("x-api-key", "third-key")).await,
        401,
        1005,
        "UNAUTHORIZED",
    );
    // With a key, WeChat is asked, and knows no such media.
    assert_failure(
        &gateway.send(post().header("x-api-key", "second-key")).await,
        404,
        2005,
        "MEDIA_NOT_FOUND",
    );
    assert_failure(
        &gateway.send(post().bearer_auth("first-key")).await,
        404,
        2005,
        "MEDIA_NOT_FOUND",
    );
    assert_eq!(gateway.sign("https://a.cn").await.status, 200, "signing is open");
}

#[tokio::test]
async fn rate_limited_requests_get_retry_after() {
    let gateway = Gateway::builder()
        .set("rate_limit.jssdk_per_second", 1)
        .set("rate_limit.jssdk_burst", 2)
        .set("rate_limit.upload_per_second", 1)
        .start()
        .await;
    assert_eq!(gateway.sign("https://a.cn").await.status, 200);
    assert_eq!(gateway.sign("https://a.cn").await.status, 200);
    let refused = gateway.sign("https://a.cn").await;
    assert_failure(&refused, 429, 1006, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(gateway.upload("x").await.status, 404);
    assert_failure(&gateway.upload("x").await, 429, 1006, "RATE_LIMITED");
}

#[tokio::test]
async fn each_failure_of_wechats_media_call_has_its_code() {
    let gateway = Gateway::builder().set("wechat.timeout", "2s").start().await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(PHOTO);
    let sandbox = &gateway.wechat.sandbox;
    for (fault, status, code, error) in [
        (Fault::Reset, 502, 2001, "WECHAT_RESPONSE_NULL_ERROR"),
        (Fault::Close, 502, 2001, "WECHAT_RESPONSE_NULL_ERROR"),
        (Fault::Stall, 504, 2001, "WECHAT_RESPONSE_NULL_ERROR"),
        (Fault::status(503), 502, 2002, "WECHAT_RESPONSE_STATUS_ERROR"),
        (
            Fault::Redirect {
                location: "http://127.0.0.1:1/".to_owned(),
                status: 302,
            },
            502,
            2002,
            "WECHAT_RESPONSE_STATUS_ERROR",
        ),
        (Fault::Empty, 502, 2003, "WECHAT_RESPONSE_BODY_NULL_ERROR"),
        (
            Fault::Body {
                body: "{\"errcode\":".to_owned(),
                content_type: "text/plain".to_owned(),
            },
            502,
            2003,
            "WECHAT_RESPONSE_BODY_NULL_ERROR",
        ),
        (
            Fault::Cut {
                after: 8,
                end: End::Close,
            },
            502,
            2003,
            "WECHAT_RESPONSE_BODY_NULL_ERROR",
        ),
        (Fault::errcode(45009), 502, 2004, "WECHAT_RESPONSE_FAIL_ERROR"),
        (Fault::errcode(-1), 502, 2004, "WECHAT_RESPONSE_FAIL_ERROR"),
        (Fault::errcode(40007), 404, 2005, "MEDIA_NOT_FOUND"),
        (
            Fault::Body {
                body: "<html>no picture</html>".to_owned(),
                content_type: "image/jpeg".to_owned(),
            },
            422,
            2006,
            "MEDIA_REJECTED",
        ),
        (
            Fault::Body {
                body: "{\"video_url\":\"http://x/\"}".to_owned(),
                content_type: "text/plain".to_owned(),
            },
            422,
            2006,
            "MEDIA_REJECTED",
        ),
    ] {
        let what = format!("{fault:?}");
        let rule = sandbox.inject(fault.on(Api::MediaGet));
        let answer = gateway.upload(&photo).await;
        assert_failure(&answer, status, code, error);
        let errcode = answer.body.get("errcode").and_then(serde_json::Value::as_i64);
        assert_eq!(errcode.is_some(), code == 2004 || code == 2005, "{what}: {answer:?}");
        sandbox.remove_fault(rule);
    }
    assert_eq!(
        gateway.upload(&photo).await.code(),
        (200, 0),
        "no failure is remembered"
    );
    assert_eq!(
        std::fs::read_dir(gateway.images.path())
            .unwrap()
            .filter(|e| !e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".wxgate"))
            .count(),
        1,
        "no failure leaves anything behind"
    );
}

#[tokio::test]
async fn oversized_pictures_are_refused() {
    let gateway = Gateway::builder().set("media.max_bytes", PHOTO.len()).start().await;
    let fits = gateway.wechat.takes_photo(PHOTO);
    assert_eq!(gateway.upload(&fits).await.code(), (200, 0));
    let too_large = gateway.wechat.takes_photo(&[PHOTO, b"!"].concat());
    assert_failure(&gateway.upload(&too_large).await, 422, 2006, "MEDIA_REJECTED");
}

#[tokio::test]
async fn image_store_failures_have_their_own_code() {
    let unused_address = crate::support::free_address();
    let gateway = Gateway::builder()
        .set("image_store.backend", "http")
        .set("image_store.http.url", format!("http://{unused_address}/upload"))
        .set("image_store.http.attempts", 1)
        .start()
        .await;
    let photo = gateway.wechat.takes_photo(PHOTO);
    assert_failure(&gateway.upload(&photo).await, 502, 3001, "FILE_UPLOAD_ERROR");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::builder()
        .set("image_store.backend", "http")
        .set(
            "image_store.http.url",
            format!("http://{}/upload", silent.local_addr().unwrap()),
        )
        .set("image_store.http.attempts", 1)
        .set("image_store.http.timeout", "300ms")
        .start()
        .await;
    let photo = gateway.wechat.takes_photo(PHOTO);
    assert_failure(&gateway.upload(&photo).await, 504, 3001, "FILE_UPLOAD_ERROR");
}

#[tokio::test]
async fn missing_credential_is_answered_with_retry_after() {
    let wechat = crate::support::SandboxHost::start(wxgate::sandbox::SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::errcode(40164).on(Api::StableToken));
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    for answer in [gateway.sign("https://a.cn").await, gateway.upload("x").await] {
        assert_failure(&answer, 503, 4001, "CREDENTIAL_UNAVAILABLE");
        assert_eq!(answer.body["errcode"], 40164);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert!(
        wechat.sandbox.calls(Api::StableToken) <= 2,
        "an error that only an operator can fix is not retried soon"
    );
    assert_eq!(gateway.get("/readyz").await.status, 503);
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn overloaded_gateway_refuses_at_once() {
    let gateway = Gateway::builder().set("media.max_concurrent", 1).start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    let hold = sandbox.inject(
        Fault::Hold {
            before_operation: false,
        }
        .on(Api::MediaGet),
    );
    let (first, second) = (gateway.wechat.takes_photo(PHOTO), gateway.wechat.takes_photo(PHOTO));
    let (first, ()) = tokio::join!(gateway.upload(&first), async {
        until("the first upload is under way", || async {
            sandbox.calls(Api::MediaGet) == 1
        })
        .await;
        let answer = gateway.upload(&second).await;
        assert_failure(&answer, 503, 4002, "OVERLOADED");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        sandbox.remove_fault(hold);
    });
    assert_eq!(first.code(), (200, 0));
}

#[tokio::test]
async fn request_timeout_is_answered_with_4003() {
    let gateway = Gateway::builder().set("server.request_timeout", "300ms").start().await;
    gateway.until_ready().await;
    let photo = gateway.wechat.takes_photo(PHOTO);
    let hold = gateway.wechat.sandbox.inject(
        Fault::Hold {
            before_operation: false,
        }
        .on(Api::MediaGet),
    );
    assert_failure(&gateway.upload(&photo).await, 504, 4003, "REQUEST_TIMEOUT");
    // The upload itself goes on, and asking again gives its URL (M8).
    gateway.wechat.sandbox.remove_fault(hold);
    until("the photo is stored", || async {
        gateway.upload(&photo).await.code() == (200, 0)
    })
    .await;
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaGet), 1);
}
