//! Calls without a token, with a client's secret as a bearer token.

use serde_json::json;
use wxgate::sandbox::{Api, Fault, Kill, SandboxConfig};

use super::{Echo, refusal};
use crate::support::{Answer, Gateway, GatewayProcess, RedisServer, SandboxHost, account, until};

const CRM: &str = "the-crm-knows-this-one";
const SHOP: &str = "the-shop-knows-this-one";
const BOTH: &str = "both-know-this-one";

/// Three accounts; `crm` may use all of them, `shop` one, `both` two that are not the default one.
const FILE: &str = r#"
[[accounts]]
app_id = "wx1"
app_secret = "secret-of-wx1"
[[accounts]]
app_id = "wx2"
app_secret = "secret-of-wx2"
[[accounts]]
app_id = "wx3"
app_secret = "secret-of-wx3"
[[internal.clients]]
name = "crm"
secret = "the-crm-knows-this-one"
[[internal.clients]]
name = "shop"
secret = "the-shop-knows-this-one"
app_ids = ["wx2"]
[[internal.clients]]
name = "both"
secret = "both-know-this-one"
app_ids = ["wx2", "wx3"]
"#;

fn three_accounts() -> SandboxConfig {
    SandboxConfig::with_accounts(vec![
        account("wx1", "secret-of-wx1"),
        account("wx2", "secret-of-wx2"),
        account("wx3", "secret-of-wx3"),
    ])
}

async fn gateway() -> Gateway {
    let wechat = SandboxHost::start(three_accounts()).await;
    Gateway::builder().wechat(&wechat).file(FILE).start().await
}

/// Calls WeChat with the bearer token `secret`, for `app_id` if one is named.
async fn calls(gateway: &Gateway, secret: &str, app_id: Option<&str>) -> Answer {
    let mut request = gateway
        .internal_request("GET", "/cgi-bin/getcallbackip")
        .bearer_auth(secret);
    if let Some(app_id) = app_id {
        request = request.header("X-WX-APPID", app_id);
    }
    gateway.send(request).await
}

fn calls_of(gateway: &Gateway, app_id: &str) -> u64 {
    gateway
        .wechat
        .sandbox
        .calls_for(&account(app_id, "").app_id, Api::GetCallbackIp)
}

#[tokio::test]
async fn call_without_a_token_gets_the_accounts_current_one() {
    let gateway = gateway().await;
    for (secret, app_id, expected) in [
        (CRM, None, "wx1"),
        (CRM, Some("wx1"), "wx1"),
        (CRM, Some("wx3"), "wx3"),
        (SHOP, None, "wx2"),
        (SHOP, Some("wx2"), "wx2"),
        (BOTH, Some("wx3"), "wx3"),
    ] {
        let before = calls_of(&gateway, expected);
        let answer = calls(&gateway, secret, app_id).await;
        assert!(answer.body["ip_list"].is_array(), "{answer:?}");
        assert_eq!(calls_of(&gateway, expected), before + 1, "{app_id:?}");
    }
    let series = "wxgate_client_calls_total{app_id=\"wx3\",client=\"both\"}";
    assert!((gateway.metric(series).await - 1.0).abs() < 0.1);
    let series = "wxgate_client_calls_total{app_id=\"wx1\",client=\"crm\"}";
    assert!((gateway.metric(series).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn call_with_a_token_of_another_kind_gets_no_second_one() {
    let wechat = SandboxHost::start(three_accounts()).await;
    let (echo, gateway) = Echo::behind(Gateway::builder().wechat(&wechat).file(FILE)).await;
    let path = "/cgi-bin/component/api_query_auth?component_access_token=of-a-platform";
    let request = gateway.internal_request("POST", path).bearer_auth(CRM).body("{}");
    assert_eq!(gateway.send(request).await.status, 200);
    let call = echo.last();
    assert_eq!(call.uri, path);
    assert!(!call.headers.contains_key("authorization"), "{call:?}");
}

#[tokio::test]
async fn wrong_bearer_is_40001_and_nothing_goes_out() {
    let gateway = gateway().await;
    for (secret, app_id, errcode) in [
        ("an-unknown-secret", None, 40001),
        ("an-unknown-secret", Some("wx1"), 40001),
        ("", None, 40001),
        // The AppSecret is not a client's secret.
        ("secret-of-wx1", None, 40001),
        (SHOP, Some("wx1"), 40001),
        // It is not clear which of its two accounts is meant.
        (BOTH, None, 40001),
        (CRM, Some("wx9"), 40013),
    ] {
        let answer = calls(&gateway, secret, app_id).await;
        assert_eq!(refusal(&answer), (200, errcode), "{app_id:?} {answer:?}");
    }
    let twice = gateway
        .internal_request("GET", "/cgi-bin/getcallbackip")
        .bearer_auth(CRM)
        .bearer_auth("an-unknown-secret");
    assert_eq!(refusal(&gateway.send(twice).await), (200, 40001));
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetCallbackIp), 0);
    let series = "wxgate_internal_refusals_total{reason=\"wrong_bearer\"}";
    assert!(gateway.metric(series).await >= 6.0);
}

#[tokio::test]
async fn bearer_call_goes_out_with_its_query_and_body_and_without_the_header() {
    let client = "[[internal.clients]]\nname = \"crm\"\nsecret = \"the-crm-knows-this-one\"\n";
    let (echo, gateway) = Echo::behind(Gateway::builder().file(client)).await;
    for (query, expected) in [
        ("", "?access_token=the-token%2Fof-echo"),
        ("?a=1&b=%20", "?a=1&b=%20&access_token=the-token%2Fof-echo"),
        // Some SDKs always write the parameter.
        ("?access_token=&a=1", "?access_token=the-token%2Fof-echo&a=1"),
        ("?access_token=a-foreign-token", "?access_token=a-foreign-token"),
    ] {
        let request = gateway
            .internal_request("POST", &format!("/cgi-bin/menu/create{query}"))
            .bearer_auth(CRM)
            .body("{\"button\":[]}");
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "{\"button\":[]}");
        let call = echo.last();
        let (_, sent) = call.uri.split_once("/cgi-bin/menu/create").unwrap();
        assert_eq!(sent, expected);
        assert!(!format!("{call:?}").contains(CRM), "{call:?}");
    }
    // Calls with a user's token get no token of the account.
    for users in ["/sns/userinfo?openid=o", "/SNS/userinfo?openid=o"] {
        let request = gateway.internal_request("GET", users).bearer_auth(CRM);
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(echo.last().uri, users);
    }
}

#[tokio::test]
async fn bearer_gets_the_ticket_too() {
    let gateway = gateway().await;
    let asks = |secret: &str, kind: &str| {
        let path = format!("/cgi-bin/ticket/getticket?type={kind}");
        gateway.send(gateway.internal_request("GET", &path).bearer_auth(secret))
    };
    let ticket = asks(SHOP, "jsapi").await;
    let app_id = account("wx2", "").app_id;
    let expected = gateway.wechat.sandbox.current_ticket(&app_id).unwrap();
    assert_eq!(ticket.body["ticket"], expected.expose());
    assert!(asks(SHOP, "wx_card").await.body["ticket"].is_string());
    for kind in ["jsapi", "wx_card"] {
        assert_eq!(refusal(&asks("an-unknown-secret", kind).await), (200, 40001));
    }
}

#[tokio::test]
async fn bearer_calls_survive_a_rejected_token() {
    let gateway = gateway().await;
    gateway.until_ready().await;
    gateway
        .wechat
        .sandbox
        .kill_token(&account("wx2", "").app_id, Kill::default())
        .unwrap();
    let answer = calls(&gateway, SHOP, None).await;
    assert!(answer.body["ip_list"].is_array(), "{answer:?}");
}

#[tokio::test]
async fn bearer_call_without_a_credential_is_busy() {
    let wechat = SandboxHost::start(three_accounts()).await;
    wechat.sandbox.inject(Fault::errcode(40164).on(Api::StableToken));
    let gateway = Gateway::builder().wechat(&wechat).file(FILE).start().await;
    let answer = calls(&gateway, SHOP, None).await;
    assert_eq!(refusal(&answer), (200, -1));
    assert!(answer.retry_after() >= 1, "{answer:?}");
    assert_eq!(wechat.sandbox.calls(Api::GetCallbackIp), 0);
}

#[tokio::test]
async fn bearer_calls_are_journaled_once_per_client_and_token() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .redis(&redis)
        .set("telemetry.log_level", "trace")
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret", CRM)
        .set("internal.clients.1.name", "shop")
        .set("internal.clients.1.secret", SHOP);
    let process = GatewayProcess::start(&builder, &wechat).await;
    for _ in 0..5 {
        for secret in [CRM, SHOP] {
            let request = process
                .internal_request("POST", "/cgi-bin/message/custom/send")
                .bearer_auth(secret)
                .json(&json!({ "touser": "o1", "text": "in-the-body" }));
            assert_eq!(process.send(request).await.body["errcode"], 0);
        }
    }
    let app_id = wechat.account().app_id;
    until("both clients are in the journal", || async {
        redis.journaled(&app_id, "handed_out").await == 2
    })
    .await;
    let journal = redis.journal_entries(&app_id).await;
    let mut clients: Vec<_> = journal.iter().filter_map(|entry| entry.get("client")).collect();
    clients.sort();
    assert_eq!(clients, ["crm", "shop"]);
    calls_wrongly(&process).await;
    for word in [
        CRM,
        SHOP,
        "an-unknown-secret",
        "in-the-body",
        "in-the-query",
        "in-the-path",
    ] {
        assert!(process.logged(word).is_empty(), "{:?}", process.logged(word));
    }
}

/// Calls that are refused for their secret or their path.
async fn calls_wrongly(process: &GatewayProcess) {
    for path in ["/cgi-bin/getcallbackip?x=in-the-query", "/cgi-bin/%74oken/in-the-path"] {
        let request = process.internal_request("GET", path).bearer_auth("an-unknown-secret");
        assert_ne!(process.send(request).await.body["errcode"], 0);
    }
    until("the refusals are logged", || async {
        !process.logged("wrong_bearer").is_empty()
    })
    .await;
}
