//! C3, C6: another token is stored, and it is not clear which is newer: it expires sooner than the one in use, or was in
//! use before.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wxgate::sandbox::{Api, Fault};

use crate::support::{Gateway, RedisServer, SandboxHost, always, no_overlap, token_key, until};

async fn replica(redis: &RedisServer, wechat: &Arc<SandboxHost>, token_api: &str) -> Gateway {
    let builder = Gateway::builder().wechat(wechat).redis(redis);
    let builder = builder
        .set("accounts.0.token_api", token_api)
        .set("credentials.adopt_interval", "100ms");
    let gateway = builder.start().await;
    gateway.until_it_says("ready").await;
    gateway
}

/// How much longer the token in use lasts, in seconds.
async fn time_left(gateway: &Gateway) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    gateway.token_expiry().await - now.as_secs_f64()
}

#[tokio::test]
async fn token_that_another_replica_obtained_is_adopted_though_wechat_has_shortened_its_lifetime() {
    for (token_api, api) in [("stable", Api::StableToken), ("classic", Api::Token)] {
        let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
        let one = replica(&redis, &wechat, token_api).await;
        let other = replica(&redis, &wechat, token_api).await;
        wechat.sandbox.inject(Fault::ExpiresIn { value: 3000.into() }.on(api));
        wechat.kill_token();
        assert_eq!(one.upload_new_photo().await.code(), (200, 0));
        until("the other one adopts it", || async { time_left(&other).await < 3100.0 }).await;
        assert_eq!(wechat.sandbox.calls(api), 2);
        assert_eq!(other.upload_new_photo().await.code(), (200, 0));
    }
}

#[tokio::test]
async fn token_that_an_older_service_stored_with_less_time_is_adopted_once_ours_is_dead() {
    assert_foreign_token_is_adopted(None).await;
}

#[tokio::test]
async fn token_in_use_is_probed_again_if_wechat_does_not_answer() {
    assert_foreign_token_is_adopted(Some(Fault::status(502))).await;
}

async fn assert_foreign_token_is_adopted(first_probe: Option<Fault>) {
    let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
    let gateway = replica(&redis, &wechat, "classic").await;
    if let Some(fault) = first_probe {
        wechat.sandbox.inject(fault.on(Api::GetApiDomainIp).once());
    }
    let app_id = wechat.account().app_id;
    let newer = wechat.sandbox.foreign_token(&app_id).unwrap();
    let command = format!("SET {} {} EX 3600", token_key(&app_id), newer.expose());
    redis.command::<()>(&command).await;
    until("it is adopted", || async { time_left(&gateway).await < 3700.0 }).await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
    assert!(gateway.foreign_invalidations().await < 0.5);
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 0);
}

#[tokio::test]
async fn dead_token_that_is_stored_with_less_time_is_replaced() {
    let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
    let gateway = replica(&redis, &wechat, "stable").await;
    let key = token_key(&wechat.account().app_id);
    let ours = redis.value(&key).await;
    redis.command::<()>(&format!("SET {key} a-dead-token EX 3600")).await;
    until("it is replaced", || async { redis.value(&key).await == ours }).await;
    assert!(time_left(&gateway).await > 7000.0);
    assert_eq!(wechat.sandbox.calls(Api::GetApiDomainIp), 2);
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
}

#[tokio::test]
async fn two_good_tokens_are_compared_once_and_left_alone() {
    let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
    let gateway = replica(&redis, &wechat, "stable").await;
    let app_id = wechat.account().app_id;
    // WeChat's classic token does not replace the stable one.
    let other = wechat.sandbox.foreign_token(&app_id).unwrap();
    let key = token_key(&app_id);
    redis
        .command::<()>(&format!("SET {key} {} EX 3600", other.expose()))
        .await;
    until("both are probed", || async {
        wechat.sandbox.calls(Api::GetApiDomainIp) == 2
    })
    .await;
    // Longer than the pause after a probe without an answer.
    always("both are kept", Duration::from_secs(12), || async {
        redis.value(&key).await.as_deref() == Some(other.expose())
            && time_left(&gateway).await > 7000.0
            && wechat.sandbox.calls(Api::GetApiDomainIp) == 2
    })
    .await;
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
}

#[tokio::test]
async fn service_that_keeps_writing_tokens_costs_one_comparison() {
    let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
    let gateway = replica(&redis, &wechat, "stable").await;
    let key = token_key(&wechat.account().app_id);
    let began = Instant::now();
    for number in 0..20 {
        redis
            .command::<()>(&format!("SET {key} a-dead-token-{number} EX 3600"))
            .await;
        // Two looks at the store.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let probes = wechat.sandbox.calls(Api::GetApiDomainIp);
    assert!(probes <= 2 * (1 + began.elapsed().as_secs() / 10), "{probes} probes");
    assert!(time_left(&gateway).await > 7000.0);
}

/// The stable token was in use, gave way to an older service's, and is the right one again.
#[tokio::test]
async fn token_that_returns_is_adopted_by_replicas_that_know_it_as_superseded() {
    let (redis, wechat) = (RedisServer::start().await, SandboxHost::start(no_overlap()).await);
    let one = replica(&redis, &wechat, "stable").await;
    let other = replica(&redis, &wechat, "stable").await;
    let app_id = wechat.account().app_id;
    let key = token_key(&app_id);
    let stable = redis.value(&key).await;
    let classic = wechat.sandbox.foreign_token(&app_id).unwrap();
    redis
        .command::<()>(&format!("SET {key} {} EX 9000", classic.expose()))
        .await;
    for gateway in [&one, &other] {
        until("the other service's token is adopted", || async {
            time_left(gateway).await > 8000.0
        })
        .await;
    }
    // It dies.
    wechat.sandbox.foreign_token(&app_id).unwrap();
    assert_eq!(one.upload_new_photo().await.code(), (200, 0));
    for gateway in [&one, &other] {
        until("the stable token is adopted", || async {
            time_left(gateway).await < 7500.0
        })
        .await;
    }
    always("it stays", Duration::from_secs(1), || async {
        redis.value(&key).await == stable
    })
    .await;
    assert_eq!(other.upload_new_photo().await.code(), (200, 0));
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
}
