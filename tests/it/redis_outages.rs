//! C2, C6: Redis down, frozen, read-only, full or with a wrong password, with warm credentials and without.

use std::time::Duration;

use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{
    Answer, Caller, Gateway, GatewayBuilder, LIMIT, RedisServer, SandboxHost, TINY_PHOTO, Traffic, ticket_key,
    token_key, until,
};

fn builder(redis: &RedisServer, wechat: &std::sync::Arc<SandboxHost>) -> GatewayBuilder {
    Gateway::builder()
        .wechat(wechat)
        .redis(redis)
        .set("credentials.adopt_interval", "200ms")
}

/// Two replicas, warm.
async fn two_warm(redis: &RedisServer, wechat: &std::sync::Arc<SandboxHost>) -> [Gateway; 2] {
    let (one, two) = tokio::join!(builder(redis, wechat).start(), builder(redis, wechat).start());
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    [one, two]
}

/// What `/readyz` says of Redis.
fn redis_component(answer: &Answer) -> &serde_json::Value {
    let components = answer.body["components"].as_array().unwrap();
    components
        .iter()
        .find(|component| component["name"] == "redis")
        .unwrap()
}

#[tokio::test]
async fn valid_credentials_are_republished_to_an_empty_redis() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let gateways = two_warm(&redis, &wechat).await;
    let keys = [token_key(&app_id), ticket_key(&app_id)];
    let before = [redis.value(&keys[0]).await, redis.value(&keys[1]).await];
    assert!(before.iter().all(Option::is_some));

    let signing = Traffic::signing(gateways.iter().map(|gateway| &**gateway));
    redis.kill();
    for gateway in &gateways {
        gateway.until_it_says("degraded").await;
    }
    signing.goes_on(100).await;
    for gateway in &gateways {
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
    redis.revive().await;
    for gateway in &gateways {
        gateway.until_it_says("ready").await;
    }
    until("both are published again", || async {
        redis.value(&keys[0]).await == before[0] && redis.value(&keys[1]).await == before[1]
    })
    .await;
    for key in &keys {
        let life = redis.life(key).await.as_secs();
        assert!((7100..=7200).contains(&life), "{key}: {life}");
    }
    signing.goes_on(100).await;
    signing.end().await.assert_flawless();
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
}

#[tokio::test]
async fn old_redis_snapshot_is_overwritten() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let gateways = two_warm(&redis, &wechat).await;
    let old = redis.value(&token_key(&app_id)).await.unwrap();
    wechat.kill_token();
    for gateway in &gateways {
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
    let new = redis.value(&token_key(&app_id)).await.unwrap();
    assert_ne!(old, new);
    let downloads = wechat.sandbox.calls(Api::MediaGet);

    redis
        .command::<()>(&format!("SET {} {old} EX 7200", token_key(&app_id)))
        .await;
    until("the newer one is published again", || async {
        redis.value(&token_key(&app_id)).await.as_ref() == Some(&new)
    })
    .await;
    for gateway in &gateways {
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
    let more = wechat.sandbox.calls(Api::MediaGet) - downloads;
    assert_eq!(more, 2, "the old one was not tried again");
}

#[tokio::test]
async fn frozen_redis_does_not_slow_signatures() {
    // Redis' time-outs: a request that waited for Redis would take this long.
    const REDIS_TIMEOUT: Duration = Duration::from_secs(8);
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = builder(&redis, &wechat)
        .set("redis.response_timeout", "8s")
        .set("redis.connect_timeout", "8s")
        .start()
        .await;
    gateway.until_it_says("ready").await;
    redis.signal("STOP");
    let signing = Traffic::signing([&*gateway, &*gateway]);
    gateway.until_it_says("degraded").await;
    signing.goes_on(200).await;
    redis.signal("CONT");
    gateway.until_it_says("ready").await;
    let tally = signing.end().await;
    assert!(
        tally.assert_flawless().slowest < REDIS_TIMEOUT / 2,
        "{:?}",
        tally.slowest
    );
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
}

/// A warm gateway whose Redis has just been frozen.
async fn with_frozen_redis(gateway: GatewayBuilder, redis: &RedisServer) -> Gateway {
    let gateway = gateway.start().await;
    gateway.until_it_says("ready").await;
    redis.signal("STOP");
    gateway
}

#[tokio::test]
async fn uploads_go_on_while_redis_is_frozen() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = builder(&redis, &wechat)
        .set("redis.connect_timeout", "300ms")
        .set("redis.response_timeout", "300ms");
    let gateway = with_frozen_redis(gateway, &redis).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    redis.signal("CONT");
    gateway.until_it_says("ready").await;
}

#[tokio::test]
async fn photo_has_one_url_on_a_replica_while_redis_is_down_and_afterwards() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = builder(&redis, &wechat).start().await;
    gateway.until_it_says("ready").await;
    redis.kill();
    let photo = wechat.takes_photo(TINY_PHOTO);
    let first = gateway.upload(&photo).await;
    assert_eq!(first.code(), (200, 0), "{first:?}");
    let url = first.body["data"].as_str().unwrap();
    assert_eq!(gateway.upload(&photo).await.body["data"], url);
    redis.revive().await;
    gateway.until_it_says("ready").await;
    assert_eq!(gateway.upload(&photo).await.body["data"], url);
    let key = format!("wxgate:media:{}:{photo}", wechat.account().app_id);
    assert_eq!(redis.value(&key).await.as_deref(), Some(url));
}

#[tokio::test]
async fn uploads_at_a_frozen_redis_wait_for_one_connection_attempt_at_most() {
    const UPLOADS: usize = 60;
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = builder(&redis, &wechat)
        // Another database than 0: the connection needs an answer to SELECT.
        .set("redis.url", format!("redis://{}/1", redis.address))
        .set("redis.connect_timeout", "1s")
        .set("redis.response_timeout", "300ms");
    let gateway = with_frozen_redis(gateway, &redis).await;
    let asked = tokio::time::Instant::now();
    // Spread over the attempts, as users are.
    let uploads = (0..UPLOADS).map(|number| {
        let gateway = &gateway;
        async move {
            tokio::time::sleep(Duration::from_millis(25) * u32::try_from(number).unwrap()).await;
            gateway.upload_new_photo().await.code()
        }
    });
    for code in futures_util::future::join_all(uploads).await {
        assert_eq!(code, (200, 0));
    }
    assert!(asked.elapsed() < LIMIT / 2, "{:?}", asked.elapsed());
    redis.signal("CONT");
    gateway.until_it_says("ready").await;
}

#[tokio::test]
async fn classic_renewal_without_redis_is_tried_at_each_look() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig {
        token_ttl: Duration::from_secs(16),
        ..SandboxConfig::default()
    })
    .await;
    let gateway = builder(&redis, &wechat)
        .classic()
        .set("credentials.adopt_interval", "1s")
        .start()
        .await;
    gateway.until_it_says("ready").await;
    redis.kill();
    let account = wechat.account();
    until("the token has ended", || async {
        let answer = gateway.asks_for_token(account.app_id.as_str(), account.secret.expose());
        answer.await.body["errcode"] == -1
    })
    .await;
    let labels = "kind=\"access_token\",outcome=\"failed\",trigger=\"expiring\"";
    let series = format!(
        "wxgate_credential_refreshes_total{{app_id=\"{}\",{labels}}}",
        account.app_id
    );
    let failed = gateway.metric(&series).await;
    assert!((1.0..12.0).contains(&failed), "{failed} renewals");
}

/// A Redis that takes no writes, before there is a credential.
async fn assert_survives_without_writes(redis: &RedisServer, cure: &str) {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let (stable, classic) = tokio::join!(
        builder(redis, &wechat).start(),
        builder(redis, &wechat)
            .classic()
            .set("credentials.token_key", "classic:{app_id}")
            .set("credentials.ticket_key", "classic_ticket:{app_id}")
            .set("credentials.lock_key", "classic_lock:{app_id}")
            .start()
    );
    stable.assert_signs().await;
    assert_eq!(stable.upload_new_photo().await.code(), (200, 0));
    classic.assert_no_credential().await;
    assert_eq!(
        wechat.sandbox.calls(Api::Token),
        0,
        "no classic token is fetched without the lock"
    );
    let ready = classic.internal_get("/readyz").await.body.to_string();
    let why = "A classic token fetched alone may invalidate the one that others use";
    assert_eq!(ready.matches(why).count(), 2, "for token and ticket: {ready}");
    assert!(
        classic
            .internal_get("/console?lang=en")
            .await
            .body
            .to_string()
            .contains(why)
    );

    redis.command::<()>(cure).await;
    classic.until_it_says("ready").await;
    classic.assert_signs().await;
    let published = async || redis.value(&token_key(&app_id)).await.is_some();
    until("what is held is published", published).await;
    stable.until_it_says("ready").await;
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
}

#[tokio::test]
async fn read_only_redis_is_tolerated() {
    let redis = RedisServer::start().await;
    redis.refuse_writes().await;
    assert_survives_without_writes(&redis, "REPLICAOF NO ONE").await;
}

#[tokio::test]
async fn full_redis_is_tolerated() {
    let redis = RedisServer::start_with(&["--maxmemory", "100kb", "--maxmemory-policy", "noeviction"]).await;
    assert_survives_without_writes(&redis, "CONFIG SET maxmemory 0").await;
}

#[tokio::test]
async fn wrong_redis_password_is_tolerated_until_corrected() {
    let redis = RedisServer::start_with(&["--requirepass", "another-password"]).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = builder(&redis, &wechat)
        .set("redis.password", "the-right-one")
        .start()
        .await;
    gateway.assert_signs().await;
    gateway.until_it_says("degraded").await;
    let problem = redis_component(&gateway.internal_get("/readyz").await)["problem"].clone();
    assert!(
        problem.as_str().unwrap().contains("WRONGPASS") || problem.as_str().unwrap().contains("authentication"),
        "{problem}"
    );

    let mut operator = crate::support::connection(&format!("redis://:another-password@{}", redis.address), None).await;
    let set: String = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "the-right-one"])
        .query_async(&mut operator)
        .await
        .unwrap();
    assert_eq!(set, "OK");
    gateway.until_it_says("ready").await;
    let connection = crate::support::connection(&format!("redis://:the-right-one@{}", redis.address), None).await;
    let key = token_key(&wechat.account().app_id);
    let published = async || {
        let mut connection = connection.clone();
        let exists: bool = redis::cmd("EXISTS")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        exists
    };
    until("what is held is published", published).await;
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
}

/// One of the counters that Redis keeps.
async fn stat(redis: &RedisServer, name: &str) -> u64 {
    let stats: String = redis.command("INFO stats").await;
    let mut lines = stats.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|line| line.0 == name).unwrap();
    value.trim().parse().unwrap()
}

/// A warm gateway that sends Redis nothing by itself.
async fn at_rest(redis: &RedisServer, wechat: &std::sync::Arc<SandboxHost>) -> Gateway {
    let gateway = builder(redis, wechat)
        .set("credentials.adopt_interval", "1h")
        .start()
        .await;
    gateway.until_it_says("ready").await;
    until("the journal is written", || async {
        redis.journal(&wechat.account().app_id).await.len() == 2
    })
    .await;
    gateway
}

#[tokio::test]
async fn upload_makes_two_redis_round_trips_and_a_repeat_one() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = at_rest(&redis, &wechat).await;
    let caller: &Caller = &gateway;
    let photos: Vec<String> = (0..20).map(|_| wechat.takes_photo(TINY_PHOTO)).collect();
    for times in [2, 1] {
        let before = stat(&redis, "total_reads_processed").await;
        for photo in &photos {
            assert_eq!(caller.upload(photo).await.code(), (200, 0));
        }
        let asked = stat(&redis, "total_reads_processed").await - before;
        // The count includes the test's own connections.
        assert!((20 * times..20 * times + 10).contains(&asked), "{asked} reads");
    }
}

#[tokio::test]
async fn signing_makes_no_redis_or_wechat_call() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = at_rest(&redis, &wechat).await;
    let caller: &Caller = &gateway;
    let (before, began) = (
        stat(&redis, "total_commands_processed").await,
        tokio::time::Instant::now(),
    );
    let signed = futures_util::future::join_all((0..500).map(|_| caller.sign("https://a.cn/p"))).await;
    assert!(signed.iter().all(|answer| answer.code() == (200, 0)));
    let after = stat(&redis, "total_commands_processed").await;
    // The test's own, and those of the background.
    let allowed = 20 + 2 * began.elapsed().as_secs();
    assert!(after - before < allowed, "{} commands", after - before);
    assert_eq!(
        wechat.sandbox.calls(Api::StableToken) + wechat.sandbox.calls(Api::GetTicket),
        2
    );
}
