//! C8: the cluster when the replica that holds the lock dies or freezes, and what that replica does when it wakes up.

use std::time::Duration;

use tokio::time::Instant;
use wxgate::account::AppId;
use wxgate::sandbox::{Api, Fault, TokenKind};

use crate::support::{
    Gateway, GatewayBuilder, GatewayProcess, HELD, OPERATOR_KEY, Proxy, RedisServer, SOON, SandboxHost, always,
    lock_key, no_overlap, token_key, until,
};

/// A replaced classic token dies at once, so that a gateway that goes on using it fails.
async fn wechat() -> (std::sync::Arc<SandboxHost>, AppId) {
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    (wechat, app_id)
}

/// A call may take 2.5 s, so the lock lasts 3.
fn short_lock(redis: &RedisServer) -> GatewayBuilder {
    Gateway::builder()
        .redis(redis)
        .classic()
        .set("wechat.timeout", "2s")
        .set("wechat.connect_timeout", "500ms")
        .set("credentials.lock_ttl", "3s")
        .set("credentials.adopt_interval", "200ms")
}

/// A call may take as long as the test.
fn long_lock(redis: &RedisServer) -> GatewayBuilder {
    short_lock(redis)
        .set("wechat.timeout", "20s")
        .set("credentials.lock_ttl", "30s")
}

fn current(wechat: &SandboxHost, app_id: &AppId) -> String {
    let token = wechat.sandbox.current_token(app_id, TokenKind::Classic).unwrap();
    token.expose().to_owned()
}

#[tokio::test]
async fn lock_of_a_killed_holder_is_taken_over() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    wechat.sandbox.inject(HELD.on(Api::Token).once());
    let mut holder = GatewayProcess::start(&short_lock(&redis), &wechat).await;
    until("the holder calls WeChat", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    holder.kill();
    let (killed, lock_left) = (Instant::now(), redis.life(&lock_key(&app_id)).await);
    assert!(!lock_left.is_zero(), "it held the lock");

    let other = GatewayProcess::start(&short_lock(&redis), &wechat).await;
    other.assert_signs().await;
    let waited = killed.elapsed();
    assert!(
        waited >= lock_left.saturating_sub(Duration::from_millis(50)),
        "the lock was respected: {waited:?}"
    );
    assert!(
        waited < lock_left + SOON,
        "it waited longer than the lock lasted: {waited:?}"
    );
    assert_eq!(wechat.sandbox.calls(Api::Token), 2);
    assert_eq!(redis.value(&token_key(&app_id)).await, Some(current(&wechat, &app_id)));
}

#[tokio::test]
async fn frozen_holder_adopts_the_newer_token_and_releases_no_foreign_lock() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    let held = wechat.sandbox.inject(HELD.on(Api::Token).once());
    let frozen = GatewayProcess::start(&short_lock(&redis), &wechat).await;
    until("the first one calls WeChat", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    frozen.signal("STOP");
    let other = GatewayProcess::start(&short_lock(&redis), &wechat).await;
    other.assert_signs().await;
    let newer = current(&wechat, &app_id);
    another_replica_takes_the_lock(&redis, &app_id).await;

    // The frozen one wakes up. Its call has timed out, or was answered with a token that is dead by now.
    wechat.sandbox.remove_fault(held);
    frozen.signal("CONT");
    frozen.until_it_says("ready").await;
    frozen.assert_signs().await;
    assert_eq!(frozen.upload_new_photo().await.code(), (200, 0));
    assert_eq!(other.upload_new_photo().await.code(), (200, 0));
    assert_eq!(redis.value(&token_key(&app_id)).await, Some(newer));
    assert_eq!(redis.value(&lock_key(&app_id)).await.as_deref(), Some("another"));

    // The frozen one's own call has no effect any more.
    redis.command::<i64>(&format!("DEL {}", lock_key(&app_id))).await;
    always("no token is asked for again", Duration::from_millis(1500), || async {
        wechat.sandbox.calls(Api::Token) == 2
    })
    .await;
    for process in [&frozen, &other] {
        assert!(process.logged("foreign").is_empty());
    }
}

#[tokio::test]
async fn late_publication_does_not_overwrite_a_newer_token() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    let wire = Proxy::start(redis.address).await;
    let held = wechat.sandbox.inject(HELD.on(Api::Token).once());
    let late = short_lock(&redis)
        .wechat(&wechat)
        .set("redis.url", format!("redis://{}/0", wire.address))
        .set("redis.response_timeout", "20s")
        .start()
        .await;
    until("the first one calls WeChat", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    // It gets WeChat's answer, but its write to Redis is held for longer than the lock lasts.
    wire.hold_before("PX");
    wechat.sandbox.remove_fault(held);
    wire.until_it_holds().await;
    let other = short_lock(&redis).wechat(&wechat).start().await;
    other.assert_signs().await;
    let newer = current(&wechat, &app_id);
    another_replica_takes_the_lock(&redis, &app_id).await;
    // No other gateway is left that could correct what the first one writes now.
    other.shut_down().await;

    wire.release();
    until("the first one has the newer token", || async {
        late.get("/readyz").await.body["status"] == "ready"
    })
    .await;
    assert_eq!(late.upload_new_photo().await.code(), (200, 0));
    assert_eq!(redis.value(&token_key(&app_id)).await, Some(newer));
    assert_eq!(redis.value(&lock_key(&app_id)).await.as_deref(), Some("another"));
    assert_eq!(wechat.sandbox.calls(Api::Token), 2);
}

#[tokio::test]
async fn holder_with_an_expired_lock_makes_no_call() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    let wire = Proxy::start(redis.address).await;
    // A holder's last command to Redis before it calls WeChat marks the call.
    wire.hold_before("unanswered");
    let late = short_lock(&redis)
        .wechat(&wechat)
        .set("redis.url", format!("redis://{}/0", wire.address))
        .set("redis.response_timeout", "20s")
        .start()
        .await;
    wire.until_it_holds().await;
    assert!(redis.value(&lock_key(&app_id)).await.is_some(), "it holds the lock");
    let other = short_lock(&redis).wechat(&wechat).start().await;
    other.assert_signs().await;
    let token = current(&wechat, &app_id);

    wire.release();
    late.until_it_says("ready").await;
    late.assert_signs().await;
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
    assert_eq!(redis.value(&token_key(&app_id)).await, Some(token));
}

#[tokio::test]
async fn token_replaced_by_a_killed_replica_is_not_reported_as_foreign() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    let builder = short_lock(&redis).set("internal.operator_key", OPERATOR_KEY);
    let mut holder = GatewayProcess::start(&builder, &wechat).await;
    holder.until_ready().await;
    let other = GatewayProcess::start(&builder, &wechat).await;
    other.until_ready().await;
    wechat.sandbox.inject(HELD.on(Api::Token).once());
    tokio::select! {
        renewed = holder.operator_renews("access_token", OPERATOR_KEY) => panic!("{renewed:?}"),
        () = until("the holder renews", || async { wechat.sandbox.calls(Api::Token) == 2 }) => {}
    }
    holder.kill();

    // WeChat has replaced the token that the other one still holds, and the new one is lost.
    let upload = other.upload_new_photo().await;
    assert_eq!(upload.code(), (200, 0), "{upload:?}");
    assert_eq!(wechat.sandbox.calls(Api::Token), 3);
    assert!(other.foreign_invalidations().await < 0.5);
    assert!(other.logged("foreign").is_empty(), "{:?}", other.logged("foreign"));
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 0);
}

#[tokio::test]
async fn holder_finishes_its_call_before_it_exits() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    let held = wechat.sandbox.inject(HELD.on(Api::Token).once());
    let mut holder = GatewayProcess::start(&long_lock(&redis), &wechat).await;
    until("the holder calls WeChat", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    holder.signal("TERM");
    until("it drains", || async { !holder.logged("draining").is_empty() }).await;
    wechat.sandbox.remove_fault(held);
    assert!(holder.ended().await.success());
    assert_eq!(redis.value(&token_key(&app_id)).await, Some(current(&wechat, &app_id)));
    assert_eq!(redis.value(&lock_key(&app_id)).await, None);
}

#[tokio::test]
async fn holder_cut_off_by_the_grace_releases_its_lock() {
    let redis = RedisServer::start().await;
    let (wechat, app_id) = wechat().await;
    wechat.sandbox.inject(HELD.on(Api::Token).once());
    let builder = long_lock(&redis).set("server.shutdown_grace", "200ms");
    let mut holder = GatewayProcess::start(&builder, &wechat).await;
    until("the holder calls WeChat", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    holder.signal("TERM");
    assert!(holder.ended().await.success());
    assert_eq!(redis.value(&lock_key(&app_id)).await, None);
}

#[tokio::test]
async fn ticket_call_that_hangs_does_not_delay_a_new_token() {
    let redis = RedisServer::start().await;
    let (wechat, _) = wechat().await;
    let builder = long_lock(&redis).wechat(&wechat);
    let gateway = builder.set("internal.operator_key", OPERATOR_KEY).start().await;
    gateway.until_ready().await;
    wechat.sandbox.inject(Fault::Stall.on(Api::GetTicket));
    let upload = async {
        until("the call hangs", || async { wechat.sandbox.calls(Api::GetTicket) == 2 }).await;
        wechat.kill_token();
        gateway.upload_new_photo().await
    };
    // An answer comes at once if the first renewal has not quite ended.
    let renewals = async {
        loop {
            gateway.operator_renews("jsapi_ticket", OPERATOR_KEY).await;
        }
    };
    let upload = tokio::select! {
        upload = upload => upload,
        () = renewals => unreachable!(),
    };
    assert_eq!(upload.code(), (200, 0), "{upload:?}");
}

/// Stands in for another replica.
async fn another_replica_takes_the_lock(redis: &RedisServer, app_id: &AppId) {
    let command = format!("SET {} another NX PX 60000", lock_key(app_id));
    until("the lock is free", || async {
        redis.command::<Option<String>>(&command).await.is_some()
    })
    .await;
}
