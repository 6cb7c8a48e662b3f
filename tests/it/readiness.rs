//! What `/readyz` reports of each component, and that no answer or log contains a secret (C14).

use std::collections::BTreeSet;

use serde_json::Value;
use wxgate::sandbox::{Api, Fault, SandboxConfig, TokenKind};

use crate::support::{Answer, Caller, Gateway, GatewayProcess, RedisServer, SandboxHost, until};

/// The component of this name, or of a name that ends so.
fn component(answer: &Answer, name: &str) -> Value {
    let components = answer.body["components"].as_array().unwrap();
    let named = |component: &&Value| component["name"].as_str().unwrap().ends_with(name);
    components.iter().find(named).cloned().unwrap_or_default()
}

#[tokio::test]
async fn readyz_distinguishes_ready_degraded_and_unready() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let refused = wechat.sandbox.inject(Fault::errcode(40125).on(Api::StableToken));
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .redis(&redis)
        .set("credentials.adopt_interval", "100ms")
        .start()
        .await;

    // WeChat refuses, so the account has no credential; the reason is reported.
    gateway.assert_no_credential().await;
    let unready = gateway.get("/readyz").await;
    assert_eq!((unready.status, &unready.body["status"]), (503, &"unready".into()));
    assert_eq!(component(&unready, "redis")["status"], "up");
    for name in ["access_token", "jsapi_ticket"] {
        assert_eq!(component(&unready, name)["status"], "down", "{unready:?}");
    }
    // The public listener shows WeChat's code only; its message is on the internal listener.
    assert_eq!(component(&unready, "access_token")["errcode"], 40125);
    assert_eq!(component(&unready, "access_token")["problem"], Value::Null);
    let detailed = gateway.internal_get("/readyz").await;
    let problem = component(&detailed, "access_token")["problem"].clone();
    assert!(problem.as_str().unwrap().contains("invalid appsecret"), "{problem}");
    assert_eq!(gateway.get("/healthz").await.status, 200);

    wechat.sandbox.remove_fault(refused);
    gateway.until_it_says("ready").await;
    let ready = gateway.get("/readyz").await;
    assert_eq!(ready.status, 200);
    for name in ["redis", "access_token", "jsapi_ticket"] {
        let component = component(&ready, name);
        assert_eq!(component["status"], "up", "{ready:?}");
        assert!(component["age_seconds"].as_u64().unwrap() <= 60, "{component}");
        assert_eq!(component["problem"], Value::Null);
    }
    for name in ["access_token", "jsapi_ticket"] {
        let left = component(&ready, name)["expires_in_seconds"].as_u64().unwrap();
        assert!((7100..=7200).contains(&left), "{left}");
    }
    assert_eq!(gateway.internal_get("/readyz").await.body["status"], "ready");

    // Redis is down, and no request has used it; only the gateway's own probe has noticed.
    redis.kill();
    gateway.until_it_says("degraded").await;
    let degraded = gateway.get("/readyz").await;
    assert_eq!(degraded.status, 200);
    let redis_down = component(&degraded, "redis");
    assert_eq!(redis_down["status"], "down");
    assert_eq!(redis_down["problem"], Value::Null);
    let detailed = gateway.internal_get("/readyz").await;
    let problem = component(&detailed, "redis")["problem"].clone();
    assert!(
        problem.as_str().is_some_and(|problem| !problem.is_empty()),
        "{detailed:?}"
    );
    assert_eq!(component(&degraded, "jsapi_ticket")["status"], "up");
    gateway.assert_signs().await;
    assert!(gateway.metric("wxgate_redis_up").await < 0.5);

    redis.revive().await;
    gateway.until_it_says("ready").await;
    assert!(gateway.metric("wxgate_redis_up").await > 0.5);
}

#[tokio::test]
async fn gateway_that_signs_without_a_token_is_degraded() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(Fault::errcode(40125).on(Api::StableToken));
    gateway.wechat.kill_token();
    assert_eq!(gateway.upload_new_photo().await.code(), (503, 4001));
    let degraded = gateway.get("/readyz").await;
    assert_eq!((degraded.status, &degraded.body["status"]), (200, &"degraded".into()));
    assert_eq!(component(&degraded, "access_token")["status"], "down");
    gateway.assert_signs().await;
    // The metric no longer has the dead token's expiry.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(gateway.token_expiry().await <= now.as_secs_f64());
}

/// Every token and ticket that the account has at the moment.
fn credentials(wechat: &SandboxHost) -> Vec<String> {
    let (app_id, sandbox) = (wechat.account().app_id, &wechat.sandbox);
    let credentials = [
        sandbox.current_token(&app_id, TokenKind::Classic),
        sandbox.current_token(&app_id, TokenKind::Stable),
        sandbox.current_ticket(&app_id),
    ];
    credentials
        .into_iter()
        .flatten()
        .map(|secret| secret.expose().to_owned())
        .collect()
}

/// Everything that can go wrong with a call that carries a secret; returns the answers.
async fn live_through_everything(gateway: &Caller, secrets: &mut BTreeSet<String>) -> Vec<String> {
    let wechat = &gateway.wechat;
    let mut answers = Vec::new();
    let elsewhere = Fault::Redirect {
        location: "http://127.0.0.1:1/elsewhere".to_owned(),
        status: 302,
    };
    let faults = [
        Fault::Reset,
        Fault::Stall,
        Fault::lost_answer(),
        Fault::cut(5),
        Fault::Empty,
        Fault::errcode(-1),
        elsewhere,
    ];
    for fault in &faults {
        for api in [Api::MediaGet, Api::GetTicket] {
            wechat.sandbox.inject(fault.clone().on(api).once());
        }
        answers.push(format!("{:?}", gateway.upload_new_photo().await));
        answers.push(format!("{:?}", gateway.get("/readyz").await));
    }
    // Only two: the waits grow if tokens keep dying soon after they were issued.
    for fault in &faults[..2] {
        wechat.kill_token();
        for api in [Api::Token, Api::StableToken] {
            wechat.sandbox.inject(fault.clone().on(api).once());
        }
        answers.push(format!("{:?}", gateway.upload_new_photo().await));
        until("uploads succeed again", || async {
            gateway.upload_new_photo().await.code() == (200, 0)
        })
        .await;
        wechat.sandbox.clear_faults();
        secrets.extend(credentials(wechat));
    }
    answers
}

#[tokio::test]
async fn secrets_never_appear_in_answers_and_logs() {
    const PASSWORD: &str = "redis-password-5e1f";
    let mut redis = RedisServer::start_with(&["--requirepass", PASSWORD]).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .redis(&redis)
        .set("redis.password", PASSWORD)
        .set("telemetry.log_level", "trace")
        .set("wechat.timeout", "300ms")
        .set("wechat.connect_timeout", "300ms")
        .set("credentials.ticket_max_age", "300ms")
        .set("credentials.adopt_interval", "100ms");
    let stable = GatewayProcess::start(&builder, &wechat).await;
    let classic = builder
        .classic()
        .set("credentials.token_key", "classic:{app_id}")
        .set("credentials.ticket_key", "classic_ticket:{app_id}")
        .set("credentials.lock_key", "classic_lock:{app_id}");
    let classic = GatewayProcess::start(&classic, &wechat).await;
    let mut secrets = BTreeSet::from([PASSWORD.to_owned(), wechat.account().secret.expose().to_owned()]);
    let mut seen = Vec::new();
    for process in [&stable, &classic] {
        process.until_ready().await;
        secrets.extend(credentials(&wechat));
        seen.extend(live_through_everything(process, &mut secrets).await);
    }
    let url = format!("redis://:{PASSWORD}@{}/0", redis.address);
    let mut connection = crate::support::connection(&url, None).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let journal: redis::Value = redis::cmd("XRANGE")
        .arg(format!("wxgate:journal:{}", wechat.account().app_id))
        .arg(&["-", "+"])
        .query_async(&mut connection)
        .await
        .unwrap();
    redis.kill();
    for process in [&stable, &classic] {
        process.until_it_says("degraded").await;
        seen.push(process.get("/readyz").await.body.to_string());
        seen.push(process.internal_get("/metrics").await.body.to_string());
        seen.extend(process.log());
    }
    seen.push(format!("{journal:?}"));
    seen.extend(keys);
    assert!(
        secrets.len() >= 8,
        "two secrets, and six tokens and tickets: {}",
        secrets.len()
    );
    assert!(seen.iter().any(|text| text.contains("foreign_invalidation")));
    assert!(seen.iter().any(|text| text.contains("\"DEBUG\"")));
    for secret in &secrets {
        let leak = seen.iter().find(|text| text.contains(secret.as_str()));
        assert!(leak.is_none(), "{secret} is in {leak:?}");
    }
}
