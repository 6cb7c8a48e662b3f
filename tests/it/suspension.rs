//! Clocks that jump: a machine that was suspended for longer than tokens and tickets live, a wall clock that is corrected.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Gateway, GatewayBuilder, GatewayProcess, RedisServer, SandboxHost, WallClock, always, compile_preloaded,
    ticket_key, token_key, until,
};

/// The settings of `builder`, for a process whose clocks jump once `folder/suspended` exists.
fn suspendable(builder: GatewayBuilder, folder: &Path) -> GatewayBuilder {
    let library = compile_preloaded("tests/it/support/suspension.c", folder);
    builder
        .variable("LD_PRELOAD", library.display())
        .variable("SUSPENDED", folder.join("suspended").display())
}

/// Suspends the machine for five hours. When it wakes up, WeChat is unreachable, and everything in `redis` and in the
/// gateway has expired. Then WeChat is back.
async fn assert_nothing_outlives_a_suspension(gateway: &GatewayProcess, folder: &Path, redis: Option<&RedisServer>) {
    let wechat = &gateway.wechat;
    let keys = [token_key, ticket_key].map(|key| key(&wechat.account().app_id));
    gateway.until_it_says("ready").await;
    gateway.assert_signs().await;
    let down = [Api::StableToken, Api::GetTicket].map(|api| wechat.sandbox.inject(Fault::errcode(-1).on(api)));
    gateway.signal("STOP");
    if let Some(redis) = redis {
        redis.command::<()>("FLUSHALL").await;
    }
    std::fs::write(folder.join("suspended"), "").unwrap();
    gateway.signal("CONT");

    gateway.assert_no_credential().await;
    let upload = gateway.upload_new_photo().await;
    assert_eq!(upload.code(), (503, 4001), "{upload:?}");
    if let Some(redis) = redis {
        always(
            "nothing that has expired is published",
            Duration::from_secs(1),
            async || {
                let published = redis.keys().await;
                !published.iter().any(|key| keys.contains(key))
            },
        )
        .await;
    }
    gateway.until_it_says("unready").await;
    for fault in down {
        wechat.sandbox.remove_fault(fault);
    }
    gateway.until_it_says("ready").await;
    gateway.assert_signs().await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
}

#[tokio::test]
async fn suspended_machine_neither_signs_with_a_dead_ticket_nor_publishes_it() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .redis(&redis)
        .set("credentials.adopt_interval", "100ms");
    let gateway = GatewayProcess::start(&suspendable(builder, folder.path()), &wechat).await;
    assert_nothing_outlives_a_suspension(&gateway, folder.path(), Some(&redis)).await;
}

#[tokio::test]
async fn suspended_machine_without_redis_serves_nothing_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&suspendable(Gateway::builder(), folder.path()), &wechat).await;
    assert_nothing_outlives_a_suspension(&gateway, folder.path(), None).await;
}

/// Alerts compare this metric with Prometheus' clock.
#[tokio::test]
async fn expiry_metric_follows_a_corrected_wall_clock() {
    let clock = WallClock::ahead_by(-7200);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = clock.of(Gateway::builder().set("credentials.adopt_interval", "100ms"), &[]);
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_it_says("ready").await;
    let app_id = wechat.account().app_id;
    let left = async |kind: &str| {
        let labels = format!("app_id=\"{app_id}\",kind=\"{kind}\"");
        let metric = format!("wxgate_credential_expiry_timestamp_seconds{{{labels}}}");
        gateway.metric(&metric).await - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
    };
    let kinds = ["access_token", "jsapi_ticket"];
    for kind in kinds {
        assert!(left(kind).await < 60.0);
    }
    clock.set(0);
    for kind in kinds {
        until("the metric is right", async || left(kind).await > 7000.0).await;
    }
}
