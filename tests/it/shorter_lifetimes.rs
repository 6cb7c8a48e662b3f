//! C3, C6: another token is stored, which expires sooner than the one in use. It is an older one, or WeChat has shortened
//! the lifetimes, or another program wrote it with less.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, RedisServer, SandboxHost, always, token_key, until};

/// A replaced classic token dies at once.
async fn wechat() -> Arc<SandboxHost> {
    SandboxHost::start(SandboxConfig {
        token_overlap: Some(Duration::ZERO),
        ..SandboxConfig::default()
    })
    .await
}

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
        let (redis, wechat) = (RedisServer::start().await, wechat().await);
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
    let (redis, wechat) = (RedisServer::start().await, wechat().await);
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
async fn good_token_is_probed_once_and_kept_if_another_one_is_stored_with_less_time() {
    let (redis, wechat) = (RedisServer::start().await, wechat().await);
    let gateway = replica(&redis, &wechat, "stable").await;
    let key = token_key(&wechat.account().app_id);
    redis.command::<()>(&format!("SET {key} an-older-token EX 3600")).await;
    until("ours is probed", || async {
        wechat.sandbox.calls(Api::GetApiDomainIp) == 1
    })
    .await;
    // Longer than any probe keeps others from probing.
    always("ours is kept", Duration::from_secs(12), || async {
        time_left(&gateway).await > 7000.0 && wechat.sandbox.calls(Api::GetApiDomainIp) == 1
    })
    .await;
    assert_eq!(redis.value(&key).await.as_deref(), Some("an-older-token"));
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
}
