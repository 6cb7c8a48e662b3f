//! C1, C7, C11: the first credentials, however many ask for them at once.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Caller, Gateway, GatewayProcess, HELD, RedisServer, SandboxHost, free_address, ticket_key, token_key, until,
};

/// Sends a page's request; the answer is read later.
async fn asks(gateway: &Caller) -> TcpStream {
    let request = "GET /wechat/jsSDK?url=https://a.cn/p HTTP/1.1\r\nHost: a.cn\r\nConnection: close\r\n\r\n";
    let mut wire = TcpStream::connect(gateway.address).await.unwrap();
    wire.write_all(request.as_bytes()).await.unwrap();
    wire
}

#[tokio::test]
async fn cold_start_under_load_makes_one_token_and_one_ticket_call() {
    for (token_api, api) in [("stable", Api::StableToken), ("classic", Api::Token)] {
        let redis = RedisServer::start().await;
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        let held = wechat.sandbox.inject(HELD.on(api));
        let builder = Gateway::builder().redis(&redis).set("wechat.timeout", "20s");
        let builder = builder.set("accounts.0.token_api", token_api);
        let processes = GatewayProcess::start_many(&builder, &wechat, 3).await;

        // All 600 requests are on the wire before there is any credential.
        let asked = (0..600).map(|turn| asks(&processes[turn % 3]));
        let asked = futures_util::future::join_all(asked).await;
        until("one of the three asks WeChat", || async {
            wechat.sandbox.calls(api) == 1
        })
        .await;
        wechat.sandbox.remove_fault(held);
        for mut wire in asked {
            let mut answer = String::new();
            wire.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_eq!(wechat.sandbox.calls(api), 1);
        assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
        for process in &processes {
            process.assert_signs().await;
            assert_eq!(process.upload_new_photo().await.code(), (200, 0));
        }
    }
}

#[tokio::test]
async fn numbers_in_credentials_may_be_strings_and_control_characters_anywhere() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    for api in [Api::StableToken, Api::GetTicket] {
        let rule = Fault::NumbersAsStrings.on(api).and(Fault::ControlCharacters);
        wechat.sandbox.inject(rule);
    }
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    gateway.assert_signs().await;
    let life = gateway.asks_for_stable_token(false).await.body["expires_in"].as_i64();
    assert!(life.is_some_and(|life| (7000..=7200).contains(&life)), "{life:?}");
}

#[tokio::test]
async fn renewal_finishes_after_all_callers_hang_up() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let held = wechat.sandbox.inject(HELD.on(Api::StableToken));
    let gateway = Gateway::builder().wechat(&wechat).redis(&redis).start().await;
    let callers = futures_util::future::join_all((0..50).map(|_| asks(&gateway))).await;
    until("WeChat is asked", || async {
        wechat.sandbox.calls(Api::StableToken) == 1
    })
    .await;
    // The gateway accepts connections in their order, so by this answer it has all fifty.
    assert_eq!(gateway.get("/healthz").await.status, 200);
    drop(callers);
    assert_eq!(gateway.get("/healthz").await.status, 200);
    wechat.sandbox.remove_fault(held);
    let app_id = wechat.account().app_id;
    until("the ticket is published", || async {
        let ticket = redis.value(&ticket_key(&app_id)).await;
        ticket.is_some_and(|ticket| ticket == wechat.sandbox.current_ticket(&app_id).unwrap().expose())
    })
    .await;
    gateway.assert_signs().await;
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
}

#[tokio::test]
async fn stable_token_is_fetched_without_redis_at_a_cold_start() {
    let unused_address = free_address();
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = || {
        let builder = Gateway::builder().wechat(&wechat).set("credentials.backend", "redis");
        builder.set("redis.url", format!("redis://{unused_address}/0")).start()
    };
    let (one, two) = tokio::join!(gateway(), gateway());
    for gateway in [&one, &two] {
        gateway.assert_signs().await;
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
        gateway.until_it_says("degraded").await;
    }
    assert_eq!(
        wechat.sandbox.calls(Api::StableToken),
        2,
        "one call each, which give the same token"
    );
}

#[tokio::test]
async fn classic_token_is_not_fetched_without_redis_at_a_cold_start() {
    let unused_address = free_address();
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().wechat(&wechat).classic();
    let builder = builder.set("credentials.backend", "redis");
    let gateway = builder
        .set("redis.url", format!("redis://{unused_address}/0"))
        .start()
        .await;
    gateway.assert_no_credential().await;
    let upload = gateway.upload_new_photo().await;
    assert_eq!(upload.code(), (503, 4001), "{upload:?}");
    assert!(upload.retry_after() >= 1, "{upload:?}");
    gateway.until_it_says("unready").await;
    assert_eq!(wechat.sandbox.calls(Api::Token), 0);

    // Once Redis is up, nothing more is needed.
    let redis = RedisServer::start_at(unused_address, &[]).await;
    gateway.until_it_says("ready").await;
    gateway.assert_signs().await;
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
    let app_id = wechat.account().app_id;
    assert!(redis.value(&token_key(&app_id)).await.is_some());
}
