//! The internal listener as other systems of the company use it: one token for all of them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wxgate::sandbox::{Api, Fault, SandboxConfig};
use wxgate::secret::Secret;

use crate::support::{Gateway, GatewayProcess, OPERATOR_KEY, RedisServer, SandboxHost, account, until};

const CLIENTS: &str = r#"
[[internal.clients]]
name = "crm"
secret = "the-crm-knows-this-one"
"#;

fn refusal(answer: &crate::support::Answer) -> (u16, i64) {
    assert!(answer.body["errmsg"].is_string(), "{answer:?}");
    assert_eq!(answer.body["access_token"], Value::Null);
    (answer.status, answer.body["errcode"].as_i64().unwrap())
}

/// How many callers were refused for this reason.
async fn refusals(gateway: &Gateway, reason: &str) -> f64 {
    gateway
        .metric(&format!("wxgate_internal_refusals_total{{reason=\"{reason}\"}}"))
        .await
}

#[tokio::test]
async fn token_and_ticket_are_answered_in_wechats_format() {
    let gateway = Gateway::builder().file(CLIENTS).start().await;
    gateway.until_ready().await;
    let account = gateway.wechat.account();
    for secret in [account.secret.expose(), "the-crm-knows-this-one"] {
        let answer = gateway.asks_for_token(account.app_id.as_str(), secret).await;
        assert_eq!(answer.status, 200);
        let fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["access_token", "expires_in"], "{answer:?}");
        assert_eq!(answer.body["access_token"], gateway.good_token());
        assert!((7000..=7200).contains(&answer.body["expires_in"].as_i64().unwrap()));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let stable = gateway.asks_for_stable_token(false).await;
    assert_eq!(stable.body["access_token"], gateway.good_token());

    let ticket = gateway.asks_for_ticket(&gateway.good_token()).await;
    let expected = gateway.wechat.sandbox.current_ticket(&account.app_id).unwrap();
    assert_eq!(ticket.body["ticket"], expected.expose());
    assert_eq!(
        (&ticket.body["errcode"], &ticket.body["errmsg"]),
        (&json!(0), &json!("ok"))
    );
    assert!((7000..=7200).contains(&ticket.body["expires_in"].as_i64().unwrap()));
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetTicket), 1);
}

#[tokio::test]
async fn expires_in_is_the_remaining_life() {
    let config = SandboxConfig {
        token_ttl: Duration::from_secs(20),
        ..SandboxConfig::default()
    };
    let gateway = Gateway::builder()
        .wechat(&SandboxHost::start(config).await)
        .start()
        .await;
    gateway.until_ready().await;
    let left = async || {
        let answer = gateway.asks_for_stable_token(false).await;
        answer.body["expires_in"].as_u64().unwrap()
    };
    let first = left().await;
    assert!(first <= 20);
    until("time has passed", || async { left().await + 2 <= first }).await;
}

#[tokio::test]
async fn refusals_have_wechats_errcodes() {
    let gateway = Gateway::builder().file(CLIENTS).start().await;
    let account = gateway.wechat.account();
    let (id, secret) = (account.app_id.as_str(), account.secret.expose());
    let get = |query: String| {
        let gateway = &gateway;
        async move { refusal(&gateway.internal_get(&format!("/cgi-bin/token?{query}")).await) }
    };
    let grant = "grant_type=client_credential";
    assert_eq!(
        get(format!("{grant}&appid=wxunknown&secret={secret}")).await,
        (200, 40013)
    );
    assert_eq!(get(format!("{grant}&appid={id}&secret=wrong")).await, (200, 40125));
    assert_eq!(
        get(format!("grant_type=other&appid={id}&secret={secret}")).await,
        (200, 40002)
    );
    assert_eq!(get(format!("{grant}&secret={secret}")).await, (200, 41002));
    assert_eq!(get(format!("{grant}&appid={id}")).await, (200, 41004));

    let stable = async |method: &str, body: &'static str| {
        let request = gateway.internal_request(method, "/cgi-bin/stable_token").body(body);
        refusal(&gateway.send(request).await)
    };
    assert_eq!(stable("GET", "").await, (200, 43002));
    assert_eq!(stable("POST", "").await, (200, 44002));
    assert_eq!(stable("POST", "not json").await, (200, 47001));
    let put = gateway.send(gateway.internal_request("PUT", "/cgi-bin/token")).await;
    assert_eq!(refusal(&put), (200, 43001));

    assert_eq!(refusal(&gateway.asks_for_ticket("not-one-of-ours").await), (200, 40001));
    assert_eq!(refusal(&gateway.asks_for_ticket("").await), (200, 41001));
    for reason in ["unknown_appid", "wrong_secret"] {
        assert!((refusals(&gateway, reason).await - 1.0).abs() < 0.1, "{reason}");
    }
}

#[tokio::test]
async fn client_is_limited_to_its_own_accounts() {
    let config = SandboxConfig::with_accounts(vec![account("wx1", "secret-of-wx1"), account("wx2", "secret-of-wx2")]);
    let wechat = SandboxHost::start(config).await;
    let file = r#"
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
    let gateway = Gateway::builder().wechat(&wechat).file(file).start().await;
    assert_eq!(
        refusal(&gateway.asks_for_token("wx1", "the-shop-knows-this-one").await),
        (200, 40125)
    );
    assert_eq!(
        refusal(&gateway.asks_for_token("wx1", "secret-of-wx2").await),
        (200, 40125)
    );
    assert!((refusals(&gateway, "not_for_this_account").await - 1.0).abs() < 0.1);
    let answer = gateway.asks_for_token("wx2", "the-shop-knows-this-one").await;
    let token = answer.body["access_token"].as_str().unwrap();
    let ticket = gateway.asks_for_ticket(token).await;
    let expected = wechat.sandbox.current_ticket(&account("wx2", "").app_id).unwrap();
    assert_eq!(ticket.body["ticket"], expected.expose());
}

#[tokio::test]
async fn missing_credential_is_answered_with_errcode_minus_one_and_retry_after() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::errcode(40164).on(Api::StableToken));
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    let answer = gateway.asks_for_stable_token(false).await;
    assert_eq!(refusal(&answer), (200, -1));
    assert!(answer.retry_after() >= 1, "{answer:?}");
    assert!(answer.body["errmsg"].as_str().unwrap().contains("40164"), "{answer:?}");
}

#[tokio::test]
async fn dead_token_reported_by_twenty_callers_costs_one_probe_and_one_renewal() {
    let gateway = Gateway::start().await;
    let dead = gateway.token().await;
    let calls = gateway.wechat.sandbox.calls(Api::StableToken);
    gateway.wechat.kill_token();
    let callers = (0..20).map(|_| gateway.token());
    let tokens = futures_util::future::join_all(callers).await;
    let good = gateway.good_token();
    assert_ne!(good, dead);
    assert!(
        tokens.iter().all(|token| *token == good),
        "every caller got the new token"
    );
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), calls + 1);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetApiDomainIp), 1);
}

#[tokio::test]
async fn report_against_a_valid_token_costs_one_probe_and_no_renewal() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    for _ in 0..5 {
        assert_eq!(gateway.token().await, token);
        assert_eq!(gateway.asks_for_stable_token(true).await.body["access_token"], token);
    }
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetApiDomainIp), 1);
}

#[tokio::test]
async fn first_request_of_a_client_is_no_report_unless_forced() {
    let gateway = Gateway::builder().file(CLIENTS).start().await;
    let app_id = gateway.wechat.account().app_id;
    let token = gateway.token().await;
    let crm = gateway.asks_for_token(app_id.as_str(), "the-crm-knows-this-one").await;
    assert_eq!(crm.body["access_token"], token);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetApiDomainIp), 0);
    gateway.wechat.kill_token();
    let forced = gateway.asks_for_stable_token(true).await;
    assert_eq!(forced.body["access_token"], gateway.good_token());
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn probe_that_wechat_refuses_renews_nothing_and_is_logged_with_what_to_do() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&Gateway::builder(), &wechat).await;
    let token = gateway.token().await;
    wechat.sandbox.inject(Fault::errcode(45009).on(Api::GetApiDomainIp));
    assert_eq!(gateway.token().await, token);
    assert_eq!(wechat.sandbox.calls(Api::GetApiDomainIp), 1);
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    until("it is logged", || async { !gateway.logged("45009").is_empty() }).await;
    assert_eq!(gateway.logged("could not be probed").len(), 1);
    assert!(gateway.logged("45009")[0].contains("What to do"));
}

/// Hands out the token, and waits until the other replicas can know.
async fn hands_out_for_all_to_know(gateway: &Gateway, redis: &RedisServer) -> String {
    let token = gateway.token().await;
    until("all replicas can know", || async {
        let keys = redis.keys().await;
        keys.iter().any(|key| key.starts_with("wxgate:token_asked:"))
    })
    .await;
    token
}

#[tokio::test]
async fn dead_token_is_replaced_if_its_client_asks_another_replica_again() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let (one, two) = tokio::join!(start(), start());
    two.until_ready().await;
    let dead = hands_out_for_all_to_know(&one, &redis).await;
    wechat.kill_token();
    assert_eq!(two.token().await, two.good_token());
    assert_ne!(two.good_token(), dead);
    assert_eq!(wechat.sandbox.calls(Api::GetApiDomainIp), 1);
}

#[tokio::test]
async fn probe_result_is_shared_between_replicas() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let (one, two, three) = tokio::join!(start(), start(), start());
    let gateways = [&one, &two, &three];
    for gateway in gateways {
        gateway.until_ready().await;
    }
    hands_out_for_all_to_know(&one, &redis).await;
    wechat.kill_token();
    let slow = Fault::delay(Duration::from_millis(1500));
    wechat.sandbox.inject(slow.on(Api::GetApiDomainIp).once());
    let tokens = futures_util::future::join_all((0..21).map(|turn| gateways[turn % 3].token())).await;
    let good = one.good_token();
    assert!(
        tokens.iter().all(|token| *token == good),
        "every caller got the new token"
    );
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
    assert_eq!(wechat.sandbox.calls(Api::GetApiDomainIp), 1);
}

#[tokio::test]
async fn ticket_is_answered_by_a_replica_that_never_held_the_token() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = || {
        Gateway::builder()
            .wechat(&wechat)
            .redis(&redis)
            .classic()
            .set("internal.operator_key", OPERATOR_KEY)
    };
    let one = builder().start().await;
    let before = one.token().await;
    let renewed = one.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(renewed.body["changed"], true, "{renewed:?}");
    let after = one.token().await;
    assert_ne!(before, after);
    let two = builder().start().await;
    for token in [&before, &after] {
        for gateway in [&one, &two] {
            let ticket = gateway.asks_for_ticket(token).await;
            assert_eq!(ticket.body["errcode"], 0, "{ticket:?}");
            assert!(ticket.body["ticket"].as_str().is_some_and(|ticket| !ticket.is_empty()));
        }
    }
    assert_eq!(refusal(&two.asks_for_ticket("never-handed-out").await), (200, 40001));
}

#[tokio::test]
async fn journal_records_each_hand_out_once() {
    let redis = RedisServer::start().await;
    let gateway = Gateway::builder().redis(&redis).file(CLIENTS).start().await;
    let app_id = gateway.wechat.account().app_id;
    for _ in 0..3 {
        gateway.token().await;
        gateway.asks_for_token(app_id.as_str(), "the-crm-knows-this-one").await;
    }
    until("both are in the journal", || async {
        redis.journaled(&app_id, "handed_out").await == 2
    })
    .await;
    let journal = redis.journal_entries(&app_id).await;
    let mut clients: Vec<_> = journal.iter().filter_map(|entry| entry.get("client")).collect();
    clients.sort();
    assert_eq!(clients, ["AppSecret", "crm"]);
    let token = Secret::new(gateway.good_token());
    for key in redis.keys().await {
        assert!(
            !key.contains(token.expose()) && !key.contains(gateway.wechat.account().secret.expose()),
            "{key}"
        );
    }
}

#[tokio::test]
async fn secrets_and_queries_are_not_logged() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().file(CLIENTS).set("telemetry.log_level", "trace");
    let process = GatewayProcess::start(&builder, &wechat).await;
    let app_id = wechat.account().app_id;
    let token = process.token().await;
    process.asks_for_token(app_id.as_str(), "a-wrong-secret").await;
    process.asks_for_ticket("a-wrong-token").await;
    let request = process
        .internal_request(
            "GET",
            &format!("/cgi-bin/getcallbackip?access_token={token}&x=in-the-query"),
        )
        .header("x-request-id", "known-by-this");
    let answer = process.send(request).await;
    assert_eq!(answer.header("x-request-id"), "known-by-this");
    until("the requests are logged", || async {
        process.logged("pass-through").len() == 1
    })
    .await;
    assert_eq!(process.logged("wrong_secret").len(), 1);
    assert!(
        process
            .logged("known-by-this")
            .iter()
            .any(|line| line.contains("pass-through"))
    );
    assert!(
        process
            .logged("/cgi-bin/token")
            .iter()
            .any(|line| line.contains("AppSecret"))
    );
    let secret = wechat.account().secret;
    for word in [
        &token,
        secret.expose(),
        "a-wrong-secret",
        "a-wrong-token",
        "in-the-query",
    ] {
        assert!(process.logged(word).is_empty(), "{:?}", process.logged(word));
    }
}

#[tokio::test]
async fn client_gets_the_token_that_there_is_if_wechat_does_not_answer_the_probe() {
    let builder = Gateway::builder().set("wechat.timeout", "20s");
    let gateway = builder.set("credentials.lock_ttl", "40s").start().await;
    let token = gateway.token().await;
    gateway.wechat.sandbox.inject(Fault::Stall.on(Api::GetApiDomainIp));
    let began = Instant::now();
    assert_eq!(gateway.token().await, token);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn client_does_not_wait_for_the_probe_of_a_replica_that_has_died() {
    let redis = RedisServer::start().await;
    let gateway = Gateway::builder().redis(&redis).start().await;
    let token = gateway.token().await;
    let app_id = gateway.wechat.account().app_id;
    let mut connection = redis.connection().await;
    let key = format!("wxgate:probe:{app_id}");
    let claim: redis::RedisResult<()> = redis::cmd("SET")
        .arg(&[&key, "under way", "PX", "10000"])
        .query_async(&mut connection)
        .await;
    claim.unwrap();
    let asked = Instant::now();
    assert_eq!(gateway.token().await, token);
    assert!(asked.elapsed() < Duration::from_millis(6500), "{:?}", asked.elapsed());
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetApiDomainIp), 0);
}
