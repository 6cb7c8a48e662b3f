//! What all replicas know about tokens in other systems' hands: marks in Redis.

use std::time::Duration;

use serde_json::Value;
use wxgate::sandbox::{Kill, SandboxConfig};

use crate::support::{Gateway, Proxy, RedisServer, SandboxHost, lock_key, token_key, until};

#[tokio::test]
async fn token_that_dies_right_after_it_was_handed_out_is_recognised_by_other_replicas() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let wire = Proxy::start(redis.address).await;
    let builder = || Gateway::builder().wechat(&wechat).redis(&redis);
    let one = builder().set("redis.url", format!("redis://{}/0", wire.address));
    let one = one.start().await;
    one.until_it_says("ready").await;
    // It is ready a moment before it has released the lock, and a lock that is held up keeps the other one waiting.
    until("nobody holds the lock", || async {
        redis.value(&lock_key(&app_id)).await.is_none()
    })
    .await;
    // The token dies before anything that is written beside the answer has reached Redis.
    wire.hold_before("wxgate:handed_out:");
    let dead = one.token().await;
    wire.until_it_holds().await;
    wechat.sandbox.kill_token(&app_id, Kill::default()).unwrap();
    redis.command::<i64>(&format!("DEL {}", token_key(&app_id))).await;

    let two = builder().start().await;
    two.until_it_says("ready").await;
    assert_ne!(two.token().await, dead);
    let ticket = two.asks_for_ticket(&dead).await;
    assert_eq!(ticket.body["errcode"], 0, "{ticket:?}");
    let call = two.calls_wechat(&dead).await;
    assert_eq!(call.body["errcode"].as_i64().unwrap_or(0), 0, "{call:?}");
}

#[tokio::test]
async fn token_handed_out_before_redis_lost_its_data_is_recognised_by_a_new_replica() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let builder = || Gateway::builder().wechat(&wechat).redis(&redis);
    let one = builder().start().await;
    one.until_it_says("ready").await;
    let dead = one.token().await;
    until("the token is marked as handed out", || handed_out(&redis)).await;
    redis.command::<()>("FLUSHALL").await;
    until("it is marked again", || handed_out(&redis)).await;
    wechat.sandbox.kill_token(&app_id, Kill::default()).unwrap();
    assert_eq!(one.calls_wechat(&dead).await.body["errcode"], Value::Null);
    assert_ne!(one.token().await, dead);

    let two = builder().start().await;
    two.until_it_says("ready").await;
    one.shut_down().await;
    let call = two.calls_wechat(&dead).await;
    assert_eq!(call.body["errcode"], Value::Null, "{call:?}");
}

#[tokio::test]
async fn life_that_one_replica_promised_is_marked_again_after_redis_lost_its_data() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis);
        builder.set("credentials.adopt_interval", "100ms")
    };
    let promising = builder().set("internal.min_expires_in", "2h").start().await;
    promising.until_it_says("ready").await;
    // WeChat's life, as the other one knows it, ends before that.
    tokio::time::sleep(Duration::from_secs(2)).await;
    promising.token().await;
    let others = [
        builder().start().await,
        builder().start().await,
        builder().start().await,
    ];
    for other in &others {
        other.until_it_says("ready").await;
    }
    let marked_for_longer = || async {
        let (mut mark, token) = (Duration::ZERO, redis.life(&token_key(&wechat.account().app_id)).await);
        for key in redis
            .keys()
            .await
            .iter()
            .filter(|key| key.starts_with("wxgate:handed_out:"))
        {
            mark = mark.max(redis.life(key).await);
        }
        mark > token + Duration::from_secs(1)
    };
    until("the promise is marked", marked_for_longer).await;
    redis.command::<()>("FLUSHALL").await;
    until("it is marked again", marked_for_longer).await;
}

async fn handed_out(redis: &RedisServer) -> bool {
    let keys = redis.keys().await;
    keys.iter().any(|key| key.starts_with("wxgate:handed_out:"))
}
