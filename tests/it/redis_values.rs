//! Values in Redis that another program has written: of another type, far too long, not text.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use wxgate::sandbox::SandboxConfig;
use wxgate::store::{Claimed, MAX_VALUE, RedisStore, SharedStore, StoreFault};

use crate::support::{Gateway, GatewayProcess, RedisServer, SandboxHost, TINY_PHOTO, account, always, until};

fn store(redis: &RedisServer) -> RedisStore {
    let settings: wxgate::settings::Redis = serde_json::from_value(json!({
        "url": redis.url(), "connect_timeout": "10s", "response_timeout": "10s",
    }))
    .unwrap();
    RedisStore::new(&settings, Path::new("")).unwrap()
}

/// One of the server's counters.
async fn connections(redis: &RedisServer) -> u64 {
    let stats: String = redis.command("INFO stats").await;
    let mut lines = stats.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|line| line.0 == "total_connections_received").unwrap();
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn journal_of_another_type_is_logged_once_and_stops_no_other_journal() {
    let redis = RedisServer::start().await;
    let mut config = SandboxConfig::default();
    let (one, two) = (
        config.accounts[0].clone(),
        account("wx00000000000000b2", "abcdef0123456789abcdef0123456789"),
    );
    config.accounts.push(two.clone());
    let wechat = SandboxHost::start(config).await;
    redis
        .command::<()>(&format!("SET wxgate:journal:{} x", one.app_id))
        .await;
    let builder = Gateway::builder()
        .redis(&redis)
        .set("credentials.adopt_interval", "200ms")
        .set("accounts.1.app_id", &two.app_id)
        .set("accounts.1.app_secret", two.secret.expose());
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    until("the other journal is written", || async {
        redis.journaled(&two.app_id, "issued").await == 2
    })
    .await;
    let warnings = || process.logged("\"WARN\"");
    until("it is logged", || async { !warnings().is_empty() }).await;
    // The first account's ticket may come a moment later.
    process.until_it_says("ready").await;
    let key = format!("wxgate:journal:{}", one.app_id);
    // Each hand-out writes another entry to the account's journal.
    let clients = [&one, &two].map(|account| account.app_id.as_str());
    for (number, app_id) in clients.iter().enumerate() {
        let secret = [&one, &two][number].secret.expose();
        let handed = process.asks_for_token(app_id, secret).await;
        assert!(handed.body["access_token"].is_string(), "{handed:?}");
    }
    until("the other journal goes on", || async {
        redis.journaled(&two.app_id, "handed_out").await == 1
    })
    .await;
    always("it is logged once", Duration::from_millis(1500), || async {
        let ready = process.get("/readyz").await.body["status"] == "ready";
        ready && warnings().len() == 1
    })
    .await;
    let warning = warnings().remove(0);
    assert!(
        warning.contains(&key) && warning.contains("remove or rename"),
        "{warning}"
    );

    redis.command::<()>(&format!("DEL {key}")).await;
    wechat
        .sandbox
        .kill_token(&one.app_id, wxgate::sandbox::Kill::default())
        .unwrap();
    assert_eq!(process.upload_new_photo().await.code(), (200, 0));
    until("it is written again", || async {
        let is_written = !redis.journal(&one.app_id).await.is_empty();
        is_written && process.logged("the journal is written again").len() == 1
    })
    .await;
}

#[tokio::test]
async fn huge_value_of_a_photo_is_not_taken_into_memory() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().redis(&redis).patient_with_redis();
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    let photo = wechat.takes_photo(TINY_PHOTO);
    let key = format!("wxgate:media:{}:{photo}", wechat.account().app_id);
    redis.command::<()>(&format!("SETRANGE {key} 33554431 x")).await;
    let before = process.memory("VmHWM:");
    let answer = process.upload(&photo).await;
    assert_eq!(answer.code(), (200, 0));
    assert!(
        answer.body["data"].as_str().unwrap().starts_with("/images/"),
        "the answer is not the picture's URL"
    );
    let grown = process.memory("VmHWM:") - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
    let url = redis.value(&key).await.unwrap();
    assert!(answer.body["data"] == url.as_str(), "the new URL has replaced it");
}

#[tokio::test]
async fn values_are_cut_compared_and_replaced_as_they_were_read() {
    let redis = RedisServer::start().await;
    let (store, ttl) = (store(&redis), Duration::from_mins(1));
    redis.command::<()>("SETRANGE long 100000 x").await;
    let read = store.get("long").await.unwrap().unwrap();
    assert_eq!((read.value.len(), read.ttl), (MAX_VALUE + 1, None));
    assert!(
        store
            .compare_and_set("long", Some(&read.value), "short", ttl)
            .await
            .unwrap()
    );
    assert_eq!(store.get("long").await.unwrap().unwrap().value, "short");

    redis.command::<()>("SETRANGE claimed 100000 x").await;
    let claim = store.claim("claimed", "lock", "me", ttl).await.unwrap();
    assert_eq!(claim, Claimed::Ours);
    assert_eq!(redis.value("claimed").await, None);

    let mut connection = redis.connection().await;
    let bytes: &[u8] = b"\xAC\xED\0\x05t\0\x03abc";
    let _: () = redis::cmd("SET")
        .arg("java")
        .arg(bytes)
        .query_async(&mut connection)
        .await
        .unwrap();
    let read = store.get("java").await.unwrap().unwrap();
    assert!(
        read.value.ends_with("abc") && read.value.starts_with('\u{FFFD}'),
        "{read:?}"
    );
    assert!(
        !store
            .compare_and_set("java", Some(&read.value), "x", ttl)
            .await
            .unwrap()
    );

    let long = "x".repeat(100_000);
    let _: String = redis::cmd("XADD")
        .arg(&["stream", "*", "reason", &long])
        .query_async(&mut connection)
        .await
        .unwrap();
    let entries = store.newest("stream", 1).await.unwrap();
    assert_eq!(entries[0][0].1.len(), MAX_VALUE + 1);
}

#[tokio::test]
async fn error_reply_costs_no_connection() {
    let redis = RedisServer::start().await;
    let store = store(&redis);
    redis.command::<()>("SET text x").await;
    redis.command::<()>("HSET hash field x").await;
    let before = connections(&redis).await;
    for _ in 0..10 {
        let appended = store
            .append("text", &[("event", "x".to_owned())], 10)
            .await
            .unwrap_err();
        assert_eq!(appended.fault, StoreFault::WrongType, "{appended}");
        assert_eq!(store.newest("text", 1).await.unwrap_err().fault, StoreFault::WrongType);
        assert_eq!(store.get("hash").await.unwrap_err().fault, StoreFault::WrongType);
        assert_eq!(
            store.increment("text", Duration::from_secs(1)).await.unwrap_err().fault,
            StoreFault::WrongType
        );
    }
    redis.command::<()>("ACL SETUSER default -incr").await;
    for _ in 0..10 {
        let refused = store.increment("other", Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(refused.fault, StoreFault::Refused(_)), "{refused}");
    }
    // One of the store, and those of the test's own commands.
    let made = connections(&redis).await - before;
    assert_eq!(made, 3, "connections");
    assert!(store.health().error.is_some(), "a command is refused");
}
