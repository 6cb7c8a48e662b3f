//! Paths that take the AppSecret, called with a client's own secret.

use serde_json::{Value, json};
use wxgate::sandbox::{Api, SandboxConfig};

use super::{Echo, refusal};
use crate::support::{Answer, Gateway, SandboxHost, account};

const SHOP: &str = "the-shop-knows-this-one";

const FILE: &str = r#"
[[accounts]]
app_id = "wx1"
app_secret = "secret-of-wx1"
[[accounts]]
app_id = "wx2"
app_secret = "secret-of-wx2"
[[internal.clients]]
name = "shop"
secret = "the-shop-knows-this-one"
app_ids = ["wx2"]
"#;

fn two_accounts() -> SandboxConfig {
    SandboxConfig::with_accounts(vec![account("wx1", "secret-of-wx1"), account("wx2", "secret-of-wx2")])
}

async fn gateway() -> (Echo, Gateway) {
    let wechat = SandboxHost::start(two_accounts()).await;
    Echo::behind(Gateway::builder().wechat(&wechat).file(FILE)).await
}

async fn posts(gateway: &Gateway, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = gateway.internal_request("POST", path);
    gateway
        .send(request.header("content-type", content_type).body(body))
        .await
}

#[tokio::test]
async fn clients_secret_goes_out_as_the_appsecret() {
    let (echo, gateway) = gateway().await;
    for (path, name) in [
        ("/sns/oauth2/access_token", "secret"),
        ("/sns/jscode2session", "secret"),
        ("/SNS/jscode2session/", "secret"),
        ("//sns//jscode2session", "secret"),
        ("/cgi-bin/clear_quota/v2", "appsecret"),
        ("/cgi-bin/clear_quota/v2", "secret"),
    ] {
        // The AppSecret itself still works.
        for secret in [SHOP, "secret-of-wx2", "the%2Dshop%2Dknows%2Dthis%2Done"] {
            let query = format!("a=%7e&appid=wx2&{name}={secret}&js_code=c+d&grant_type=authorization_code");
            let answer = gateway.internal_get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 200);
            let call = echo.last();
            assert_eq!(call.param(name).as_deref(), Some("secret-of-wx2"), "{call:?}");
            assert!(call.uri.contains("a=%7e&appid=wx2&"), "{call:?}");
            assert!(
                call.uri.ends_with("&js_code=c+d&grant_type=authorization_code"),
                "{call:?}"
            );
        }
    }
}

#[tokio::test]
async fn clients_secret_is_exchanged_in_json_and_form_bodies() {
    let (echo, gateway) = gateway().await;
    let path = "/cgi-bin/clear_quota/v2";
    let json = json!({ "appid": "wx2", "appsecret": SHOP, "中": "文" }).to_string();
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = posts(&gateway, path, content_type, json.clone()).await;
        let expected = json!({ "appid": "wx2", "appsecret": "secret-of-wx2", "中": "文" });
        assert_eq!(answer.body, expected, "{content_type}");
        let sent = echo.last().headers["content-length"].to_str().unwrap().to_owned();
        assert_eq!(sent, expected.to_string().len().to_string());
    }
    let form = format!("a=%7e&appid=wx2&appsecret={SHOP}&b=c+d");
    let answer = posts(&gateway, path, "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.body, "a=%7e&appid=wx2&appsecret=secret-of-wx2&b=c+d");
    // The AppID in the query, the secret in the body.
    let (about, secret) = (format!("{path}?appid=wx2"), json!({ "appsecret": SHOP }).to_string());
    let answer = posts(&gateway, &about, "application/json", secret).await;
    assert_eq!(answer.body, json!({ "appsecret": "secret-of-wx2" }));
    // A byte order mark before it, as some editors leave it.
    let answer = posts(&gateway, path, "application/json", format!("\u{feff}{json}")).await;
    assert!(!answer.body.to_string().contains(SHOP), "{answer:?}");
}

#[tokio::test]
async fn clear_quota_works_with_a_clients_secret() {
    let wechat = SandboxHost::start(two_accounts()).await;
    let gateway = Gateway::builder().wechat(&wechat).file(FILE).start().await;
    let path = format!("/cgi-bin/clear_quota/v2?appid=wx2&appsecret={SHOP}");
    let answer = gateway.send(gateway.internal_request("POST", &path)).await;
    assert_eq!(answer.body["errcode"], 0, "{answer:?}");
    assert_eq!(wechat.sandbox.calls(Api::ClearQuotaV2), 1);
}

#[tokio::test]
async fn wrong_secret_is_40125_and_does_not_go_out() {
    let (echo, gateway) = gateway().await;
    for (query, errcode) in [
        ("appid=wx2&secret=an-unknown-secret", 40125),
        ("appid=wx1&secret=the-shop-knows-this-one", 40125),
        ("appid=wx2&secret=secret-of-wx1", 40125),
        // WeChat may use either of the two.
        (
            "appid=wx2&secret=the-shop-knows-this-one&secret=an-unknown-secret",
            40125,
        ),
        ("appid=wx2&appid=wx1&secret=the-shop-knows-this-one", 40013),
        // Another account's AppSecret may go to WeChat; a client's secret must not.
        ("appid=wx9&secret=the-shop-knows-this-one", 40013),
        ("secret=the-shop-knows-this-one", 41002),
    ] {
        for path in [
            "/sns/jscode2session",
            "/sns/oauth2/access_token",
            "/cgi-bin/clear_quota/v2",
        ] {
            let answer = gateway.internal_get(&format!("{path}?{query}")).await;
            assert_eq!(refusal(&answer), (200, errcode), "{path}?{query}");
            let answer = posts(&gateway, path, "application/x-www-form-urlencoded", query).await;
            assert_eq!(refusal(&answer), (200, errcode), "{path} {query}");
        }
    }
    for (uri, cure) in [
        ("/cgi-bin/menu/get?Secret=the-shop-knows-this-one", "/cgi-bin/menu/get"),
        ("/cgi-bin/menu/get?x=the%2Dshop-knows-this-one", "/cgi-bin/menu/get"),
        // The base URL already had the path's beginning.
        (
            "/cgi-bin/cgi-bin/token?appid=wx2&secret=the-shop-knows-this-one",
            "/cgi-bin/cgi-bin/token takes no secret",
        ),
        (
            "/sns/jscode2session?APPID=wx2&SECRET=the-shop-knows-this-one",
            "in lower case",
        ),
    ] {
        let answer = gateway.internal_get(uri).await;
        assert_eq!(refusal(&answer), (200, 40125), "{uri}");
        assert!(answer.body["errmsg"].as_str().unwrap().contains(cure), "{answer:?}");
    }
    let path = "/cgi-bin/clear_quota/v2";
    let body = json!({ "appid": "wx2", "appsecret": "an-unknown-secret" }).to_string();
    assert_eq!(
        refusal(&posts(&gateway, path, "application/json", body.clone()).await),
        (200, 40125)
    );
    let broken = body.replace('}', "").replace("an-unknown-secret", SHOP);
    assert_eq!(
        refusal(&posts(&gateway, path, "application/json", broken).await),
        (200, 47001)
    );
    for (content_type, body) in [
        (
            "application/xml",
            format!("<xml><appid>wx2</appid><appsecret>{SHOP}</appsecret></xml>"),
        ),
        (
            "application/json",
            format!("[{{\"appid\":\"wx2\",\"appsecret\":\"{SHOP}\"}}]"),
        ),
        (
            "multipart/form-data; boundary=b",
            format!("--b\r\nContent-Disposition: form-data; name=\"appsecret\"\r\n\r\n{SHOP}\r\n--b--\r\n"),
        ),
    ] {
        let answer = posts(&gateway, path, content_type, body).await;
        assert_eq!(refusal(&answer), (200, 47001), "{content_type}");
    }
    let long = format!(
        "{{\"appid\":\"wx2\",\"appsecret\":\"{SHOP}\",\"x\":\"{}\"}}",
        "x".repeat(100_000)
    );
    assert_eq!(posts(&gateway, path, "application/json", long).await.status, 413);
    assert!(echo.calls().is_empty(), "{:?}", echo.calls());
    let series = "wxgate_internal_refusals_total{reason=\"wrong_secret\"}";
    assert!(gateway.metric(series).await >= 3.0);
}

#[tokio::test]
async fn what_is_not_about_our_secrets_passes_unchanged() {
    let (echo, gateway) = gateway().await;
    for uri in [
        "/sns/jscode2session?appid=wx9&secret=a-foreign-secret&js_code=c",
        "/sns/jscode2session?appid=wx2&js_code=c",
        "/sns/userinfo?access_token=a-users&openid=o",
        "/cgi-bin/menu/get?secret=a-foreign-secret",
    ] {
        assert_eq!(gateway.internal_get(uri).await.status, 200);
        assert_eq!(echo.last().uri, uri);
    }
    let answer = posts(&gateway, "/cgi-bin/menu/create", "application/json", "{\"a\": 1}").await;
    assert_eq!(answer.body, json!({ "a": 1 }));
    let answer = posts(&gateway, "/cgi-bin/clear_quota/v2", "application/json", "").await;
    assert_eq!(answer.body, Value::String(String::new()));
    // On no other path does a client's secret go out in the query.
    for path in ["/sns/component/jscode2session", "/cgi-bin/component/api"] {
        let answer = gateway.internal_get(&format!("{path}?appid=wx2&secret={SHOP}")).await;
        assert_eq!(refusal(&answer), (200, 40125), "{path}");
    }
}
