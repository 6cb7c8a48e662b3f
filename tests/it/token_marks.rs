//! Marks in Redis: they let every replica recognise the tokens that were handed out.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{
    Gateway, GatewayBuilder, OPERATOR_KEY, Proxy, RedisServer, SandboxHost, accounts, lock_key, token_key, until,
};

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
    // It is ready a moment before it releases the lock. If the release were held too, the other one would wait for it.
    until("the lock is free", || async {
        redis.value(&lock_key(&app_id)).await.is_none()
    })
    .await;
    // The token dies before its mark has reached Redis.
    wire.hold_before("wxgate:handed_out:");
    let dead = one.token().await;
    wire.until_it_holds().await;
    wechat.kill_token();
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
    let builder = || Gateway::builder().wechat(&wechat).redis(&redis);
    let one = builder().start().await;
    one.until_it_says("ready").await;
    let dead = one.token().await;
    until("the token is marked as handed out", || handed_out(&redis)).await;
    redis.command::<()>("FLUSHALL").await;
    until("it is marked again", || handed_out(&redis)).await;
    wechat.kill_token();
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
    // The life that WeChat gave, which the other one knows, ends before that.
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

/// A service that goes on calling with another system's token must not load the Redis of all replicas.
#[tokio::test]
async fn calls_with_a_foreign_token_look_at_each_account_once() {
    const ACCOUNTS: usize = 50;
    let redis = RedisServer::start().await;
    let accounts = accounts(ACCOUNTS);
    let builder = Gateway::builder().redis(&redis).accounts(&accounts);
    let builder = builder.set("credentials.adopt_interval", "1h");
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts.clone())).await;
    let gateway = builder.wechat(&wechat).start().await;
    gateway.until_it_says("ready").await;
    until("all locks are free", || async {
        let keys = redis.keys().await;
        let is_lock = |key: &String| key.starts_with("weChatApiToken:") || key.starts_with("wxgate:ticket_lock:");
        !keys.iter().any(is_lock)
    })
    .await;

    let scripts = async || stat(&redis, "commandstats", "cmdstat_eval").await;
    let reads = async || stat(&redis, "stats", "total_reads_processed").await;
    let (scripts_before, reads_before, begun) = (scripts().await, reads().await, Instant::now());
    for turn in 1..=20 {
        let answer = gateway.calls_wechat("a-foreign-token").await;
        assert_eq!(answer.body["errcode"], 40001, "{answer:?}");
        if turn == 1 {
            let reads = reads().await - reads_before;
            assert!(
                reads < ACCOUNTS as u64 * 3 / 2,
                "the accounts are asked one after the other: {reads} reads"
            );
        }
    }
    let spent = scripts().await - scripts_before;
    // A busy machine may need more than the time for which the first answer is remembered.
    let look_ups = 1 + begun.elapsed().as_secs() / 10;
    // Each account's token calls of the day are counted every eight seconds or more.
    let counts = 1 + begun.elapsed().as_secs() / 8;
    let allowed = (2 * look_ups + counts) * ACCOUNTS as u64 + 20;
    assert!(spent < allowed, "{spent} scripts in Redis");
}

/// Two replicas without background look-ups, the second with the settings that `second` adds.
async fn replicas(redis: &RedisServer, second: impl Fn(GatewayBuilder) -> GatewayBuilder) -> [Gateway; 2] {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = || {
        let builder = Gateway::builder().wechat(&wechat).redis(redis).classic();
        builder
            .set("internal.operator_key", OPERATOR_KEY)
            .set("credentials.adopt_interval", "1h")
            .set("internal.proxy", false)
    };
    let one = builder().start().await;
    one.until_it_says("ready").await;
    let two = second(builder()).start().await;
    two.until_it_says("ready").await;
    [one, two]
}

/// The token that `gateway` obtains now.
async fn renewed(gateway: &Gateway) -> String {
    let renewed = gateway.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(renewed.body["changed"], true, "{renewed:?}");
    gateway.token().await
}

#[tokio::test]
async fn token_of_another_replica_is_recognised_right_after_foreign_ones() {
    let redis = RedisServer::start().await;
    let [one, two] = replicas(&redis, |builder| builder).await;
    for _ in 0..2 {
        assert_eq!(two.asks_for_ticket("a-foreign-token").await.body["errcode"], 40001);
    }
    let superseded = renewed(&one).await;
    let current = renewed(&one).await;
    for token in [&superseded, &current] {
        let ticket = two.asks_for_ticket(token).await;
        assert_eq!(ticket.body["errcode"], 0, "{ticket:?}");
    }
    assert_eq!(two.asks_for_ticket("a-foreign-token").await.body["errcode"], 40001);
}

#[tokio::test]
async fn client_that_suspects_its_token_gets_the_one_obtained_since_the_last_probe() {
    let redis = RedisServer::start().await;
    let [one, two] = replicas(&redis, |builder| builder).await;
    let suspected = two.asks_for_stable_token(true).await;
    assert_eq!(two.wechat.sandbox.calls(Api::GetApiDomainIp), 1, "{suspected:?}");
    let newer = renewed(&one).await;
    let answer = two.asks_for_stable_token(true).await;
    assert_eq!(answer.body["access_token"], newer, "{answer:?}");
}

#[tokio::test]
async fn token_is_looked_up_again_after_a_look_up_that_failed() {
    let redis = RedisServer::start().await;
    let wire = Proxy::start(redis.address).await;
    let url = format!("redis://{}/0", wire.address);
    let [one, two] = replicas(&redis, |builder| builder.set("redis.url", &url)).await;
    let token = renewed(&one).await;
    wire.hang_up_at(&["EVAL"]);
    assert_eq!(two.asks_for_ticket(&token).await.body["errcode"], 40001);
    wire.hang_up_at(&[]);
    let ticket = two.asks_for_ticket(&token).await;
    assert_eq!(ticket.body["errcode"], 0, "{ticket:?}");
}

/// The first number in this line of `INFO`.
async fn stat(redis: &RedisServer, section: &str, name: &str) -> u64 {
    let stats: String = redis.command(&format!("INFO {section}")).await;
    let mut lines = stats.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|line| line.0 == name).unwrap();
    let value = value.trim_start_matches("calls=");
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..digits].parse().unwrap()
}

async fn handed_out(redis: &RedisServer) -> bool {
    let keys = redis.keys().await;
    keys.iter().any(|key| key.starts_with("wxgate:handed_out:"))
}
