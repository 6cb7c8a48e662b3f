//! Several gateways, one Redis: one token, one ticket.

use redis::AsyncCommands;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{Gateway, RedisServer, SandboxHost, until};

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
