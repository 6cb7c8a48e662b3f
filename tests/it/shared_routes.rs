//! The routes of the shared token and ticket, in the spellings that SDKs use.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wxgate::sandbox::{Api, Kill, SandboxConfig};

use crate::support::{Answer, Gateway, GatewayProcess, RedisServer, SandboxHost, account, until};

fn assert_hands_out(gateway: &Gateway, answer: &Answer) {
    assert_eq!(answer.body["access_token"], gateway.good_token(), "{answer:?}");
}

#[tokio::test]
async fn token_and_ticket_are_answered_to_post_as_to_get() {
    let gateway = Gateway::start().await;
    let account = gateway.wechat.account();
    let query = format!(
        "grant_type=client_credential&appid={}&secret={}",
        account.app_id,
        account.secret.expose()
    );
    let post = |path: String| gateway.internal_request("POST", &path);
    let in_query = gateway.send(post(format!("/cgi-bin/token?{query}"))).await;
    assert_hands_out(&gateway, &in_query);
    let form = "application/x-www-form-urlencoded";
    let in_form = post("/cgi-bin/token".to_owned()).header("content-type", form);
    assert_hands_out(&gateway, &gateway.send(in_form.body(query.clone())).await);
    // Some SDKs send an empty JSON body with everything in the query.
    let in_both = post(format!("/cgi-bin/token?{query}")).json(&json!({}));
    assert_hands_out(&gateway, &gateway.send(in_both).await);

    let query = format!("access_token={}&type=jsapi", gateway.good_token());
    let expected = gateway.wechat.sandbox.current_ticket(&account.app_id).unwrap();
    let in_query = gateway.send(post(format!("/cgi-bin/ticket/getticket?{query}"))).await;
    assert_eq!(in_query.body["ticket"], expected.expose(), "{in_query:?}");
    let in_form = post("/cgi-bin/ticket/getticket".to_owned()).header("content-type", form);
    let in_form = gateway.send(in_form.body(query)).await;
    assert_eq!(in_form.body["ticket"], expected.expose(), "{in_form:?}");
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetTicket), 1);

    let flood = post("/cgi-bin/token".to_owned()).body("x".repeat(20_000));
    assert_eq!(gateway.send(flood).await.body["errcode"], 47001);
}

#[tokio::test]
async fn routes_are_found_in_any_case_and_with_any_slashes() {
    let gateway = Gateway::start().await;
    let account = gateway.wechat.account();
    let secret = account.secret.expose();
    let query = format!("grant_type=client_credential&appid={}&secret={secret}", account.app_id);
    for path in [
        "//cgi-bin/token",
        "/cgi-bin//token",
        "/cgi-bin/token/",
        "/CGI-BIN/Token",
        "///Cgi-bin///TOKEN//",
    ] {
        let answer = gateway.internal_get(&format!("{path}?{query}")).await;
        assert_hands_out(&gateway, &answer);
    }
    let body = json!({ "grant_type": "client_credential", "appid": account.app_id.as_str(), "secret": secret });
    for path in ["//cgi-bin/stable_token", "/cgi-bin/Stable_Token/"] {
        let answer = gateway.send(gateway.internal_request("POST", path).json(&body)).await;
        assert_hands_out(&gateway, &answer);
    }
    let token = gateway.good_token();
    let expected = gateway.wechat.sandbox.current_ticket(&account.app_id).unwrap();
    for path in ["//cgi-bin/ticket/getticket/", "/cgi-bin/ticket/getTicket"] {
        let answer = gateway
            .internal_get(&format!("{path}?access_token={token}&type=jsapi"))
            .await;
        assert_eq!(answer.body["ticket"], expected.expose(), "{path}: {answer:?}");
    }
    let sandbox = &gateway.wechat.sandbox;
    assert_eq!((sandbox.calls(Api::Token), sandbox.calls(Api::Other)), (0, 0));
    assert_eq!((sandbox.calls(Api::StableToken), sandbox.calls(Api::GetTicket)), (1, 1));
    // Each is counted under its route.
    let counted = "wxgate_http_requests_total{method=\"GET\",route=\"/cgi-bin/token\",status=\"200\"}";
    assert!((gateway.metric(counted).await - 5.0).abs() < 0.1);
}

#[tokio::test]
async fn stable_token_takes_force_refresh_as_text_or_number_and_a_byte_order_mark() {
    // One account for each, since an account is probed once in ten seconds.
    let forms = [
        (json!(true), true),
        (json!("true"), true),
        (json!("TRUE"), true),
        (json!(1), true),
        (json!("1"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(0), false),
        (json!("0"), false),
        (json!(""), false),
        (Value::Null, false),
    ];
    let ids: Vec<String> = (0..forms.len()).map(|i| format!("wx{i}")).collect();
    let accounts = ids.iter().map(|id| account(id, &format!("secret-of-{id}"))).collect();
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts)).await;
    let section = |id: &String| format!("[[accounts]]\napp_id = \"{id}\"\napp_secret = \"secret-of-{id}\"\n");
    let file = ids.iter().map(section).collect::<Vec<_>>().concat();
    let clients = "[[internal.clients]]\nname = \"crm\"\nsecret = \"the-crm-knows-this-one\"\n";
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .file(&file)
        .file(clients)
        .start()
        .await;
    for (id, (force, is_forced)) in ids.iter().zip(forms) {
        let first = gateway.asks_for_token(id, &format!("secret-of-{id}")).await;
        let dead = first.body["access_token"].as_str().unwrap();
        wechat
            .sandbox
            .kill_token(&account(id, "").app_id, Kill::default())
            .unwrap();
        let call = json!({
            "grant_type": "client_credential",
            "appid": id,
            "secret": "the-crm-knows-this-one",
            "force_refresh": force,
        });
        let request = gateway.internal_request("POST", "/cgi-bin/stable_token");
        let answer = gateway.send(request.body(format!("\u{feff}{call}"))).await;
        let token = answer.body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!(token != dead, is_forced, "{force}");
    }
}

#[tokio::test]
async fn ticket_is_given_for_a_former_token_until_its_announced_end() {
    let redis = RedisServer::start().await;
    let config = SandboxConfig {
        token_ttl: Duration::from_secs(3),
        ..SandboxConfig::default()
    };
    let wechat = SandboxHost::start(config).await;
    let start = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis);
        builder.set("internal.min_expires_in", "9s").start()
    };
    let one = start().await;
    let asked = Instant::now();
    let first = one.token().await;
    until("it is superseded", || async { one.token().await != first }).await;
    let two = start().await;
    two.until_it_says("ready").await;
    let ticket = wechat.sandbox.current_ticket(&wechat.account().app_id).unwrap();
    let calls = wechat.sandbox.calls(Api::GetTicket);
    for gateway in [&one, &two] {
        let answer = gateway.asks_for_ticket(&first).await;
        assert_eq!(answer.body["ticket"], ticket.expose(), "{answer:?}");
    }
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), calls);
    for gateway in [&one, &two] {
        let refused = async || {
            matches!(
                gateway.asks_for_ticket(&first).await.body["errcode"].as_i64(),
                Some(40001 | 42001)
            )
        };
        until("its announced life is over", refused).await;
        assert!(asked.elapsed() >= Duration::from_secs(9), "{:?}", asked.elapsed());
    }
    assert!(wechat.sandbox.calls(Api::GetTicket) > calls, "WeChat has refused it");
}

#[tokio::test]
async fn ticket_for_another_systems_token_is_wechats_to_answer() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    let foreign = sandbox.foreign_token(&gateway.wechat.account().app_id).unwrap();
    let calls = sandbox.calls(Api::GetTicket);
    let answer = gateway.asks_for_ticket(foreign.expose()).await;
    assert_eq!(
        (&answer.body["errcode"], &answer.body["expires_in"]),
        (&json!(0), &json!(7200))
    );
    let refused = gateway.asks_for_ticket("an-unknown-token").await;
    assert_eq!(refused.body["errcode"], 40001);
    assert_eq!(sandbox.calls(Api::GetTicket), calls + 2);

    let closed = Gateway::builder().set("internal.proxy", false).start().await;
    let refused = closed.asks_for_ticket("an-unknown-token").await;
    assert_eq!(refused.body["errcode"], 40001, "{refused:?}");
    let counted = closed
        .metric("wxgate_internal_refusals_total{reason=\"wrong_token\"}")
        .await;
    assert!((counted - 1.0).abs() < 0.1);
    assert!(closed.wechat.sandbox.calls(Api::GetTicket) <= 1, "the gateway's own");
}

#[tokio::test]
async fn client_secret_that_sdks_can_not_send_is_warned_about() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret", "of+its/own,plus=signs");
    let ran = builder.run(&wechat, &["check"]).await;
    let is_warning = |line: &str| line.starts_with("warning") && line.contains("internal.clients[0].secret (crm)");
    assert!(ran.out.lines().any(is_warning), "{}", ran.out);
    let process = GatewayProcess::start(&builder, &wechat).await;
    let logged = process.logged("internal.clients[0].secret (crm)");
    assert!(logged.len() == 1 && logged[0].contains("WARN"), "{logged:?}");
    assert!(!ran.out.contains("of+its") && process.logged("of+its").is_empty());
}
