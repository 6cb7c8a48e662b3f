//! The drain: signals end the process when the requests in flight are answered, or `shutdown_grace` is over.

use std::time::{Duration, Instant};

use serde_json::json;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayProcess, HELD, RedisServer, SandboxHost, photo, until};

#[tokio::test]
async fn sigterm_drains() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = GatewayProcess::start(&Gateway::builder(), &wechat).await;
    drains_on_sigterm(process, &wechat).await;
}

#[tokio::test]
async fn single_processor_serves_and_drains() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = GatewayProcess::start_on_one_processor(&Gateway::builder().redis(&redis), &wechat).await;
    process.assert_signs().await;
    let uploads = (0..20).map(|_| process.upload_new_photo());
    for answer in futures_util::future::join_all(uploads).await {
        assert_eq!(answer.code(), (200, 0));
    }
    drains_on_sigterm(process, &wechat).await;
}

async fn drains_on_sigterm(mut process: GatewayProcess, wechat: &SandboxHost) {
    until("it is ready", || async {
        reqwest::get(process.url("/readyz"))
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let photo = wechat.takes_photo(&photo("portrait.jpg"));
    // An upload that is under way when the signal comes is finished and answered.
    let hold = wechat.sandbox.inject(HELD.on(Api::MediaGet));
    let fetched = wechat.sandbox.calls(Api::MediaGet);
    let body = json!({ "mediaId": photo });
    let request = reqwest::Client::new()
        .post(process.url("/p/active/weChatOa/upload"))
        .json(&body)
        .send();
    let request = tokio::spawn(request);
    until("the upload is under way", || async {
        wechat.sandbox.calls(Api::MediaGet) == fetched + 1
    })
    .await;
    process.signal("TERM");
    until("the drain has begun", || async {
        process.log().iter().any(|line| line.contains("draining"))
    })
    .await;
    wechat.sandbox.remove_fault(hold);
    assert_eq!(request.await.unwrap().unwrap().status(), 200);
    assert!(process.ended().await.success());
    until("the end is logged", || async {
        process.log().iter().any(|line| line.contains("drained"))
    })
    .await;
}

#[tokio::test]
async fn sighup_drains() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let mut process = GatewayProcess::start(&Gateway::builder(), &wechat).await;
    process.signal("HUP");
    assert!(process.ended().await.success());
    until("the end is logged", || async { process.logged("drained").len() == 1 }).await;
}

#[tokio::test]
async fn second_sigterm_ends_the_drain_at_once() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("server.shutdown_delay", "60s");
    let mut process = GatewayProcess::start(&builder, &wechat).await;
    process.signal("TERM");
    until("it has begun to stop", || async {
        process.logged("shutdown requested").len() == 1
    })
    .await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(1));
    // Queued log lines are written even then.
    until("the reason is logged", || async {
        process.logged("second signal").len() == 1
    })
    .await;
    assert!(process.logged("drained").is_empty());
}

#[tokio::test]
async fn shutdown_delay_keeps_serving_while_not_ready() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("server.shutdown_delay", "3s");
    let mut process = GatewayProcess::start(&builder, &wechat).await;
    process.until_it_says("ready").await;
    process.signal("TERM");
    process.until_it_says("unready").await;
    assert_eq!(process.get("/readyz").await.status, 503);
    assert_eq!(process.internal_get("/readyz").await.status, 503);
    let signed = process.sign("https://h5.example.com/").await;
    assert_eq!(signed.code(), (200, 0));
    // The answer closes the connection, so a proxy sends its next request elsewhere.
    assert_eq!(signed.header("connection"), "close");
    assert!(process.logged("draining").is_empty());
    assert!(process.ended().await.success());
    until("the end is logged", || async { process.logged("drained").len() == 1 }).await;
}

/// A hanging upload and its caller are waited for at the same time, for one `shutdown_grace`.
#[tokio::test]
async fn drain_ends_with_the_grace() {
    let grace = Duration::from_secs(5);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .set("server.shutdown_grace", "5s")
        .set("wechat.timeout", "60s")
        .set("credentials.lock_ttl", "90s");
    let mut process = GatewayProcess::start(&builder, &wechat).await;
    process.until_it_says("ready").await;
    let never = Fault::Stall.on(Api::MediaGet);
    wechat.sandbox.inject(never);
    let body = json!({ "mediaId": wechat.takes_photo(&photo("portrait.jpg")) });
    let request = reqwest::Client::new().post(process.url("/p/active/weChatOa/upload"));
    let caller = tokio::spawn(request.json(&body).send());
    until("the upload is under way", || async {
        wechat.sandbox.calls(Api::MediaGet) == 1
    })
    .await;
    process.signal("TERM");
    let began = Instant::now();
    assert!(process.ended().await.success());
    let took = began.elapsed();
    assert!(took < 2 * grace, "{took:?}");
    assert!(caller.await.unwrap().is_err());
    assert_eq!(process.logged("when server.shutdown_grace ended").len(), 2);
}
