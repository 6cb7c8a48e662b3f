//! Several gateways, one Redis: one token, one ticket.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{Gateway, HELD, Lost, Proxy, RedisServer, SandboxHost, always, until};

#[tokio::test]
async fn two_gateways_share_one_token_and_one_ticket() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = || {
        let builder = Gateway::builder().wechat(&wechat).set("credentials.backend", "redis");
        builder
            .set("redis.url", redis.url())
            .set("redis.response_timeout", "5s")
            .start()
    };
    let (one, two) = tokio::join!(gateway(), gateway());
    let page = "https://a.cn/p";
    let signs = async |gateway: &Gateway| {
        let answers = futures_util::future::join_all((0..50).map(|_| gateway.sign(page))).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.code() == (200, 0) && gateway.wechat_accepts(answer, page))
        );
    };
    tokio::join!(signs(&one), signs(&two));
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);

    // Redis holds the bare values, each with a TTL.
    let app_id = wechat.account().app_id;
    let mut connection = redis.connection().await;
    let ticket_key = format!("weChat_client_credential:jsapi_ticket:{app_id}");
    let ticket: String = connection.get(&ticket_key).await.unwrap();
    assert_eq!(ticket, wechat.sandbox.current_ticket(&app_id).unwrap().expose());
    let ttl: i64 = connection.ttl(&ticket_key).await.unwrap();
    assert!((7000..=7200).contains(&ttl), "{ttl}");
    let token: String = connection
        .get(format!("weChat_client_credential:access_token:{app_id}"))
        .await
        .unwrap();
    assert_eq!(
        token,
        wechat
            .sandbox
            .current_token(&app_id, wxgate::sandbox::TokenKind::Stable)
            .unwrap()
            .expose()
    );
    until("the lock is released", || async {
        !redis.keys().await.iter().any(|key| key.starts_with("weChatApiToken"))
    })
    .await;
    for key in redis.keys().await {
        assert!(
            !key.contains(&token) && !key.contains(&ticket) && !key.contains(wechat.account().secret.expose()),
            "{key}"
        );
    }
}

#[tokio::test]
async fn photo_is_stored_once_by_two_gateways() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let images = tempfile::tempdir().unwrap();
    let gateway = || {
        let builder = Gateway::builder()
            .wechat(&wechat)
            .set("credentials.backend", "redis")
            .set("redis.url", redis.url())
            .set("redis.response_timeout", "5s");
        builder
            .set("image_store.local.directory", images.path().display())
            .start()
    };
    let (one, two) = tokio::join!(gateway(), gateway());
    let photo = wechat.takes_photo(&crate::support::photo("portrait.jpg"));
    let uploads = (0..50).map(|turn| {
        if turn % 2 == 0 {
            one.upload(&photo)
        } else {
            two.upload(&photo)
        }
    });
    let answers = futures_util::future::join_all(uploads).await;
    let url = answers[0].body["data"].as_str().unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| answer.code() == (200, 0) && answer.body["data"] == url),
        "{answers:?}"
    );
    assert_eq!(wechat.sandbox.calls(Api::MediaGet), 1);
    assert_eq!(std::fs::read_dir(images.path()).unwrap().count(), 1);
    let remembered: String = redis
        .connection()
        .await
        .get(format!("wxgate:media:{}:{photo}", wechat.account().app_id))
        .await
        .unwrap();
    assert_eq!(remembered, url);
}

/// Two gateways with one folder of pictures, and what the first one uses to reach Redis.
async fn two_with_a_proxy(wechat: &Arc<SandboxHost>, redis: &RedisServer, images: &Path) -> ([Gateway; 2], Proxy) {
    let wire = Proxy::start(redis.address).await;
    let builder = || {
        let builder = Gateway::builder().wechat(wechat).redis(redis);
        builder.set("image_store.local.directory", images.display())
    };
    let behind = builder().set("redis.url", format!("redis://{}/0", wire.address));
    let (one, two) = tokio::join!(behind.start(), builder().start());
    one.until_ready().await;
    two.until_ready().await;
    ([one, two], wire)
}

#[tokio::test]
async fn photo_is_stored_once_if_the_connection_breaks_when_its_lease_is_taken() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let images = tempfile::tempdir().unwrap();
    let ([one, two], wire) = two_with_a_proxy(&wechat, &redis, images.path()).await;
    for (lost, calls) in [(Lost::Command, 1), (Lost::Reply, 2)] {
        let photo = wechat.takes_photo(&crate::support::photo("portrait.jpg"));
        let held = wechat.sandbox.inject(HELD.on(Api::MediaGet));
        wire.break_at("wxgate:media-lock:", lost);
        let asked = Instant::now();
        let both = async {
            let called = async || wechat.sandbox.calls(Api::MediaGet) == calls;
            until("the first one downloads it", called).await;
            assert!(wire.has_broken(), "{lost:?}");
            // Half as long as a lease lasts.
            assert!(
                asked.elapsed() < Duration::from_secs(5),
                "{lost:?}: it waited for itself"
            );
            let waiting = async {
                always("the other one waits", Duration::from_secs(1), called).await;
                wechat.sandbox.remove_fault(held);
            };
            tokio::join!(two.upload(&photo), waiting).0
        };
        let (first, second) = tokio::join!(one.upload(&photo), both);
        assert_eq!((first.code(), second.code()), ((200, 0), (200, 0)), "{lost:?}");
        assert_eq!(first.body["data"], second.body["data"], "{lost:?}");
        assert_eq!(wechat.sandbox.calls(Api::MediaGet), calls, "{lost:?}");
    }
}

#[tokio::test]
async fn photo_has_one_url_on_a_replica_if_redis_refuses_to_read() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let images = tempfile::tempdir().unwrap();
    let ([one, two], wire) = two_with_a_proxy(&wechat, &redis, images.path()).await;
    // Reads and claims are scripts; a URL is remembered by a plain SET.
    wire.hang_up_at(&["EVAL"]);
    let photo = wechat.takes_photo(&crate::support::photo("portrait.jpg"));
    let first = one.upload(&photo).await;
    assert_eq!(first.code(), (200, 0), "{first:?}");
    let again = one.upload(&photo).await;
    assert_eq!(again.body["data"], first.body["data"], "{again:?}");
    wire.hang_up_at(&[]);
    for gateway in [&one, &two] {
        let later = gateway.upload(&photo).await;
        assert_eq!(later.body["data"], first.body["data"], "{later:?}");
    }
    assert_eq!(std::fs::read_dir(images.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn photo_has_one_url_if_the_connection_breaks_when_it_is_remembered() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let images = tempfile::tempdir().unwrap();
    let ([one, two], wire) = two_with_a_proxy(&wechat, &redis, images.path()).await;
    for lost in [Lost::Command, Lost::Reply] {
        let photo = wechat.takes_photo(&crate::support::photo("portrait.jpg"));
        // The only command with a URL.
        wire.break_at("\r\n/images/", lost);
        let first = one.upload(&photo).await;
        assert!(wire.has_broken(), "{lost:?}");
        let second = two.upload(&photo).await;
        assert_eq!((first.code(), second.code()), ((200, 0), (200, 0)), "{lost:?}");
        assert_eq!(first.body["data"], second.body["data"], "{lost:?}");
    }
    assert_eq!(wechat.sandbox.calls(Api::MediaGet), 2);
}

#[tokio::test]
async fn untrustworthy_shared_credential_is_not_used() {
    for spoil in ["SET key ''", "SET key '   '", "SET key stale-token"] {
        let redis = RedisServer::start().await;
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        let app_id = wechat.account().app_id;
        let mut connection = redis.connection().await;
        for key in ["access_token", "jsapi_ticket"] {
            let value = spoil.trim_start_matches("SET key ").trim_matches('\'');
            // Any value without a TTL.
            let _: () = connection
                .set(format!("weChat_client_credential:{key}:{app_id}"), value)
                .await
                .unwrap();
        }
        let builder = Gateway::builder().wechat(&wechat).set("credentials.backend", "redis");
        let gateway = builder
            .set("redis.url", redis.url())
            .set("redis.response_timeout", "5s")
            .start()
            .await;
        let page = "https://a.cn/p";
        let answer = gateway.sign(page).await;
        assert_eq!(answer.code(), (200, 0), "{spoil}: {answer:?}");
        assert!(gateway.wechat_accepts(&answer, page), "{spoil}");
    }
}
