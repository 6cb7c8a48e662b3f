//! The phone's side.

use serde_json::{Value, json};
use wxgate::jssdk::{JsDomain, sign};
use wxgate::sandbox::{SandboxAccount, SandboxConfig};
use wxgate::secret::Secret;

use crate::{APP, Desk, JPEG, OTHER_APP, SECRET, app, text, two_accounts};

const PAGE: &str = "https://h5.example.com/p?a=1";

fn config(ticket: &str, url: &str) -> Value {
    json!({
        "appId": APP,
        "timestamp": 1_414_587_457,
        "nonceStr": "Wm3WZYTPz0wzccnW",
        "signature": sign(ticket, "Wm3WZYTPz0wzccnW", "1414587457", url),
        "url": url,
        "jsApiList": ["chooseImage"],
    })
}

async fn ticket(desk: &Desk, kind: &str) -> String {
    let token = desk.token().await;
    text(&desk.ticket(&token, kind).await, "ticket").to_owned()
}

#[tokio::test]
async fn a_right_signature_is_ok_as_long_as_its_ticket_verifies() {
    let desk = Desk::new().await;
    let mut config = config(&ticket(&desk, "jsapi").await, PAGE);
    let ok = json!({"errMsg": "config:ok"});
    assert_eq!(desk.post_json("/sandbox/verify", config.clone()).await, ok);
    config["timestamp"] = "1414587457".into();
    config["url"] = format!("{PAGE}#/route?x").into();
    assert_eq!(desk.post_json("/sandbox/verify", config.clone()).await, ok);
    desk.sandbox.advance(std::time::Duration::from_secs(14_390));
    assert_eq!(desk.post_json("/sandbox/verify", config.clone()).await, ok);
    desk.sandbox.advance(std::time::Duration::from_secs(10));
    let failed = desk.post_json("/sandbox/verify", config).await;
    assert_eq!(
        failed,
        json!({"errMsg": "config:invalid signature", "realAuthUrl": [PAGE]})
    );
}

#[tokio::test]
async fn a_wrong_config_fails_as_wechat_says() {
    let desk = Desk::new().await;
    let ticket_value = ticket(&desk, "jsapi").await;
    let fails = async |change: &dyn Fn(&mut Value)| {
        let mut config = config(&ticket_value, PAGE);
        change(&mut config);
        text(&desk.post_json("/sandbox/verify", config).await, "errMsg").to_owned()
    };
    for field in ["appId", "timestamp", "nonceStr", "signature", "url"] {
        assert_eq!(
            fails(&|config| config[field] = "".into()).await,
            "config:fail",
            "{field}"
        );
        assert_eq!(
            fails(&|config| config[field] = Value::Null).await,
            "config:fail",
            "{field}"
        );
    }
    let invalid = "config:invalid signature";
    assert_eq!(
        fails(&|config| config["url"] = "https://h5.example.com/p".into()).await,
        invalid
    );
    assert_eq!(fails(&|config| config["appId"] = OTHER_APP.into()).await, invalid);
    let card = ticket(&desk, "wx_card").await;
    assert_eq!(fails(&|changed| *changed = config(&card, PAGE)).await, invalid);
    let unknown = fails(&|config| config["appId"] = "wxnone".into()).await;
    assert!(unknown.contains("40013,invalid appid ["), "{unknown}");
    let sent = desk
        .client
        .post(desk.url("/sandbox/verify"))
        .body("no json")
        .send()
        .await;
    let answer: Value = sent.unwrap().json().await.unwrap();
    assert_eq!(text(&answer, "errMsg"), "config:fail");
}

#[tokio::test]
async fn a_page_must_be_on_one_of_the_accounts_domains() {
    let mut account = SandboxAccount::new(app(APP), Secret::new(SECRET));
    account.js_domains = vec![JsDomain::try_from("example.com/p".to_owned()).unwrap()];
    let desk = Desk::with(SandboxConfig::with_accounts(vec![account])).await;
    let ticket = ticket(&desk, "jsapi").await;
    let answer = desk.post_json("/sandbox/verify", config(&ticket, PAGE)).await;
    assert_eq!(text(&answer, "errMsg"), "config:ok");
    for url in ["https://h5.example.com/q", "https://example.org/p", "nonsense"] {
        let answer = desk.post_json("/sandbox/verify", config(&ticket, url)).await;
        let said = text(&answer, "errMsg");
        assert!(
            said.starts_with("config:fail,Error: 系统错误，错误码：40048,invalid url domain ["),
            "{said}"
        );
        assert_eq!(answer["realAuthUrl"], json!([url]));
    }
}

#[tokio::test]
async fn a_picture_is_uploaded_raw_or_in_a_form() {
    let desk = Desk::with(two_accounts()).await;
    let url = desk.url(&format!("/sandbox/upload?appId={APP}"));
    let raw = desk.client.post(&url).header("content-type", "image/jpeg").body(JPEG);
    let part = reqwest::multipart::Part::bytes(JPEG)
        .file_name("x")
        .mime_str("image/jpeg")
        .unwrap();
    let form = desk
        .client
        .post(&url)
        .multipart(reqwest::multipart::Form::new().text("a", "b").part("file", part));
    let nameless = desk.client.post(desk.url("/sandbox/upload")).body(JPEG);
    let token = desk.token().await;
    for request in [raw, form, nameless] {
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["errMsg"], "uploadImage:ok");
        let path = format!(
            "/cgi-bin/media/get?access_token={token}&media_id={}",
            text(&answer, "serverId")
        );
        let file = desk.get(&path).await;
        assert_eq!(file.headers()["content-type"], "image/jpeg");
        assert_eq!(file.bytes().await.unwrap(), JPEG);
    }
    for (path, body) in [("/sandbox/upload?appId=wxnone", JPEG), ("/sandbox/upload", b"")] {
        let sent = desk.client.post(desk.url(path)).body(body).send().await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"errMsg": "uploadImage:fail"}));
    }
    let limit = 20 * 1024 * 1024;
    for (size, said) in [(limit, "uploadImage:ok"), (limit + 1, "uploadImage:fail")] {
        let sent = desk.client.post(&url).body(vec![0; size]).send().await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        assert_eq!(answer["errMsg"], said);
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let desk = Desk::new().await;
    let preflight = desk
        .client
        .request(reqwest::Method::OPTIONS, desk.url("/sandbox/verify"))
        .header("Origin", "https://h5.example.com")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
}

/// Only the phone's routes: any page that a developer has open could invalidate the tokens.
#[tokio::test]
async fn pages_of_other_origins_may_not_call_wechat_or_the_control_api() {
    let desk = Desk::new().await;
    let ask = async |method: reqwest::Method, path: &str, origin: &str| {
        let request = desk.client.request(method, desk.url(path)).header("Origin", origin);
        request.send().await.unwrap().status().as_u16()
    };
    let own = format!("http://{}", desk.address);
    let token = format!("/cgi-bin/token?grant_type=client_credential&appid={APP}&secret={SECRET}");
    let kill = format!("/sandbox/accounts/{APP}/kill_token");
    for origin in ["https://evil.cn", "null", "http://localhost:1"] {
        for (method, path) in [
            (reqwest::Method::POST, "/sandbox/reset"),
            (reqwest::Method::POST, kill.as_str()),
            (reqwest::Method::GET, "/sandbox/state"),
            (reqwest::Method::GET, token.as_str()),
        ] {
            assert_eq!(ask(method, path, origin).await, 403, "{origin} {path}");
        }
        assert_eq!(ask(reqwest::Method::POST, "/sandbox/verify", origin).await, 200);
        assert_eq!(ask(reqwest::Method::GET, "/sandbox/demo.js", origin).await, 200);
    }
    assert_eq!(ask(reqwest::Method::GET, "/sandbox/state", &own).await, 200);
    assert_eq!(ask(reqwest::Method::GET, &token, &own).await, 200);
}

#[tokio::test]
async fn the_demo_page_needs_nothing_from_elsewhere() {
    let desk = Desk::new().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/sandbox/demo.js", "text/javascript; charset=utf-8"),
        ("/sandbox/compare.js", "text/javascript; charset=utf-8"),
        ("/sandbox/demo.css", "text/css; charset=utf-8"),
    ] {
        let answer = desk.get(path).await;
        assert_eq!(answer.headers()["content-type"], kind);
        assert!(
            answer.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'self'")
        );
        let text = answer.text().await.unwrap();
        assert!(!text.is_empty());
        for link in [
            "src=\"http",
            "href=\"http",
            "src=\"//",
            "href=\"//",
            "url(",
            "@import",
            "import(",
        ] {
            assert!(!text.contains(link), "{path} has {link}");
        }
    }
}
