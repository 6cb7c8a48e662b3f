//! What other programs leave under the keys of credentials, photos and their locks.

use std::time::Duration;

use redis::AsyncCommands;
use tokio::time::Instant;
use wxgate::account::AppId;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Gateway, GatewayBuilder, GatewayProcess, RedisServer, SandboxHost, TINY_PHOTO, lock_key, ticket_key, token_key,
    until,
};

/// Commands that write a value as other programs do, and how the gateway describes it.
fn foreign_values(key: &str) -> Vec<(redis::Cmd, &'static str)> {
    let set = |value: &[u8]| {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value).arg("EX").arg(7200);
        command
    };
    let of_type = |name: &str, arguments: &[&str]| {
        let mut command = redis::cmd(name);
        command.arg(key).arg(arguments);
        command
    };
    vec![
        (set(b"\"85_old\""), "a string in quotes"),
        (set(br#"{"access_token":"85_old"}"#), "JSON"),
        (set(b"\xAC\xED\x00\x05t\x00\x0685_old"), "serialized by Java"),
        (of_type("HSET", &["access_token", "85_old"]), "type hash"),
        (of_type("RPUSH", &["85_old"]), "type list"),
    ]
}

async fn dump(redis: &RedisServer, key: &str) -> Option<Vec<u8>> {
    redis.command(&format!("DUMP {key}")).await
}

/// What the internal `/readyz` says of the credential of this kind.
async fn problem(gateway: &GatewayProcess, kind: &str) -> String {
    let ready = gateway.internal_get("/readyz").await;
    let components = ready.body["components"].as_array().unwrap();
    let component = components
        .iter()
        .find(|component| component["name"].as_str().unwrap().ends_with(kind));
    component.unwrap()["problem"].as_str().unwrap_or_default().to_owned()
}

fn builder(redis: &RedisServer) -> GatewayBuilder {
    Gateway::builder()
        .redis(redis)
        .set("credentials.adopt_interval", "100ms")
}

/// A stable account whose token or ticket key holds another program's value works without sharing.
async fn assert_stable_account_leaves_it_alone(kind: &str, key: fn(&AppId) -> String) {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let key = key(&app_id);
    for (command, what) in foreign_values(&key) {
        // The locks that the previous turn's gateway may have held when it was killed.
        redis.command::<()>("FLUSHALL").await;
        let _: redis::Value = command.query_async(&mut redis.connection().await).await.unwrap();
        let before = dump(&redis, &key).await;
        let gateway = GatewayProcess::start(&builder(&redis), &wechat).await;
        gateway.until_it_says("degraded").await;
        gateway.assert_signs().await;
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
        let problem = problem(&gateway, kind).await;
        assert!(problem.contains(&key) && problem.contains(what), "{problem}");
        assert!(
            problem.contains("credentials.") && !problem.contains("85_old"),
            "{problem}"
        );
        assert_eq!(gateway.logged("WARN").len(), 1, "{:#?}", gateway.logged("WARN"));
        assert!(gateway.logged("WARN")[0].contains(&key));
        assert!(gateway.metric("wxgate_redis_up").await > 0.5);
        assert!(dump(&redis, &key).await == before, "{what} was overwritten");
        assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 0);

        let ran = builder(&redis).run(&wechat, &["check"]).await;
        assert!(ran.out.contains(&key) && ran.out.contains(what), "{ran:?}");
        assert!(!ran.out.contains("remove or rename"), "{ran:?}");

        // Once it is gone, the credential is shared.
        redis.command::<i64>(&format!("DEL {key}")).await;
        gateway.until_it_says("ready").await;
        until("it is shared", || async { redis.value(&key).await.is_some() }).await;
    }
}

#[tokio::test]
async fn foreign_token_is_left_alone_by_a_stable_account() {
    assert_stable_account_leaves_it_alone("access_token", token_key).await;
}

#[tokio::test]
async fn foreign_ticket_is_left_alone_by_a_stable_account() {
    assert_stable_account_leaves_it_alone("jsapi_ticket", ticket_key).await;
}

#[tokio::test]
async fn foreign_token_closes_a_classic_account() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let key = token_key(&app_id);
    for (command, what) in foreign_values(&key) {
        // Its locks too: the previous turn's gateway was killed, and may have held one.
        redis.command::<()>("FLUSHALL").await;
        let _: redis::Value = command.query_async(&mut redis.connection().await).await.unwrap();
        let (before, calls) = (dump(&redis, &key).await, wechat.sandbox.calls(Api::Token));
        let gateway = GatewayProcess::start(&builder(&redis).classic(), &wechat).await;
        gateway.assert_no_credential().await;
        let refused = gateway.upload_new_photo().await;
        assert_eq!(refused.code(), (503, 4001), "{refused:?}");
        gateway.until_it_says("unready").await;
        let problem = problem(&gateway, "access_token").await;
        assert!(problem.contains(&key) && problem.contains(what), "{problem}");
        assert_eq!(wechat.sandbox.calls(Api::Token), calls, "no token call is made");
        assert!(dump(&redis, &key).await == before, "{what} was overwritten");
        let ran = builder(&redis).classic().run(&wechat, &["check"]).await;
        assert!(ran.out.contains(&key) && ran.out.contains(what), "{ran:?}");
        assert_ne!(ran.code, 0);

        redis.command::<i64>(&format!("DEL {key}")).await;
        gateway.until_it_says("ready").await;
        gateway.assert_signs().await;
    }
}

#[tokio::test]
async fn overlong_token_in_redis_is_replaced() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    for key in [token_key(&app_id), ticket_key(&app_id)] {
        for length in [1_025, 70_000] {
            let long = "x".repeat(length);
            redis.command::<()>(&format!("SET {key} {long} EX 7200")).await;
            let gateway = builder(&redis).wechat(&wechat).start().await;
            gateway.until_it_says("ready").await;
            gateway.assert_signs().await;
            assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
            let stored = redis.value(&key).await;
            assert!(
                stored.is_some_and(|stored| stored.len() <= 512),
                "{key} was not replaced"
            );
        }
    }
}

#[tokio::test]
async fn overlong_credential_from_wechat_is_not_used() {
    for (api, field, key) in [
        (Api::StableToken, "access_token", token_key as fn(&AppId) -> String),
        (Api::GetTicket, "ticket", ticket_key),
    ] {
        let redis = RedisServer::start().await;
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        let long = serde_json::json!({ field: "x".repeat(63_000) });
        let set = long.as_object().unwrap().clone();
        let rule = wechat.sandbox.inject(Fault::Fields { set }.on(api));
        let gateway = builder(&redis).wechat(&wechat).start().await;
        gateway.assert_no_credential().await;
        assert_eq!(redis.value(&key(&wechat.account().app_id)).await, None);
        wechat.sandbox.remove_fault(rule);
        gateway.until_it_says("ready").await;
        gateway.assert_signs().await;
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
}

#[tokio::test]
async fn lock_without_ttl_is_given_one() {
    assert_lock_ends("").await;
}

#[tokio::test]
async fn lock_with_a_ttl_of_a_day_is_given_a_shorter_one() {
    assert_lock_ends("EX 86400").await;
}

async fn assert_lock_ends(life: &str) {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let lock = lock_key(&wechat.account().app_id);
    redis
        .command::<()>(format!("SET {lock} another {life}").trim_end())
        .await;
    let began = Instant::now();
    let builder = builder(&redis)
        .set("wechat.timeout", "2s")
        .set("wechat.connect_timeout", "500ms")
        .set("credentials.lock_ttl", "3s");
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    until("the lock gets a TTL", || async {
        let life = redis.life(&lock).await;
        !life.is_zero() && life <= Duration::from_secs(3)
    })
    .await;
    gateway.until_it_says("ready").await;
    assert!(began.elapsed() >= Duration::from_secs(2), "the lock was respected");
    assert_eq!(gateway.logged("had no TTL").len(), 1);
    gateway.assert_signs().await;
}

#[tokio::test]
async fn photos_lock_without_ttl_is_given_one() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder(&redis)
        .set("wechat.timeout", "2s")
        .set("wechat.media_timeout", "2s");
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_it_says("ready").await;
    let photo = wechat.takes_photo(TINY_PHOTO);
    let lock = format!("wxgate:media-lock:{{wxgate:media:{}:{photo}}}", wechat.account().app_id);
    redis.command::<()>(&format!("SET {lock} another")).await;
    let began = Instant::now();
    let answer = gateway.upload(&photo).await;
    assert_eq!(answer.code(), (200, 0), "{answer:?}");
    assert!(began.elapsed() >= Duration::from_secs(1), "the lock was respected");
    assert_eq!(gateway.logged("had no TTL").len(), 1);
}

#[tokio::test]
async fn remembered_text_that_is_no_url_is_replaced() {
    let redis = RedisServer::start().await;
    let gateway = Gateway::builder().redis(&redis).start().await;
    let app_id = gateway.wechat.account().app_id;
    for text in [
        "javascript:alert(1)",
        "not a url",
        "https://a.cn/\na.jpg",
        "//a.cn/a.jpg",
        "ftp://a.cn/a.jpg",
    ] {
        let photo = gateway.wechat.takes_photo(TINY_PHOTO);
        let key = format!("wxgate:media:{app_id}:{photo}");
        let _: () = redis.connection().await.set_ex(&key, text, 3600).await.unwrap();
        let answer = gateway.upload(&photo).await;
        assert_eq!(answer.code(), (200, 0), "{text:?}: {answer:?}");
        let url = answer.body["data"].as_str().unwrap();
        assert!(url.starts_with("/images/"), "{text:?}: {url}");
        assert_eq!(redis.value(&key).await.as_deref(), Some(url));
        assert_eq!(gateway.upload(&photo).await.body["data"], url);
    }
    let photo = gateway.wechat.takes_photo(TINY_PHOTO);
    let url = "https://img.example.com/a.jpg?v=1";
    let key = format!("wxgate:media:{app_id}:{photo}");
    let _: () = redis.connection().await.set_ex(&key, url, 3600).await.unwrap();
    assert_eq!(gateway.upload(&photo).await.body["data"], url);
}
