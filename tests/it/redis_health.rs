//! The log, `/readyz` and the metric when Redis goes away, refuses commands and comes back. Each event is logged once,
//! also without requests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wxgate::sandbox::SandboxConfig;

use crate::support::{
    Gateway, GatewayBuilder, GatewayProcess, Proxy, RedisServer, SOON, SandboxHost, always, free_address, token_key,
    until,
};

/// Long enough for several rounds of the gateway's background work.
const SEVERAL_ROUNDS: Duration = Duration::from_millis(1500);

fn builder() -> GatewayBuilder {
    Gateway::builder()
        .patient_with_redis()
        .set("credentials.backend", "redis")
        .set("credentials.adopt_interval", "200ms")
}

async fn start(redis: &RedisServer, wechat: &Arc<SandboxHost>) -> GatewayProcess {
    let process = GatewayProcess::start(&builder().set("redis.url", redis.url()), wechat).await;
    process.until_ready().await;
    process
}

/// The log's messages of a level.
fn messages(process: &GatewayProcess, level: &str) -> Vec<String> {
    let lines = process.log().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines
        .filter(|line| line["level"] == level)
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn warnings(process: &GatewayProcess) -> Vec<String> {
    messages(process, "WARN")
}

fn recoveries(process: &GatewayProcess) -> Vec<String> {
    let mut recoveries = messages(process, "INFO");
    recoveries.retain(|message| message.starts_with("Redis ") && message.ends_with(" again"));
    recoveries
}

/// Waits for the warning, checks that there is only one, and returns it.
async fn the_warning(process: &GatewayProcess) -> String {
    until("it is logged", || async { !warnings(process).is_empty() }).await;
    always("it is logged once", SEVERAL_ROUNDS, || async {
        let (warnings, recoveries) = (warnings(process), recoveries(process));
        assert!(
            warnings.len() == 1 && recoveries.is_empty(),
            "{warnings:#?} {recoveries:#?}"
        );
        true
    })
    .await;
    warnings(process).remove(0)
}

async fn is_up(process: &GatewayProcess) -> bool {
    let ready = process.internal_get("/readyz").await;
    let components = ready.body["components"].as_array().unwrap().clone();
    let redis = components
        .iter()
        .find(|component| component["name"] == "redis")
        .unwrap();
    let up = process.metric("wxgate_redis_up").await > 0.5;
    assert_eq!(redis["status"] == "up", up, "/readyz and the metric agree");
    up
}

/// Waits until Redis is logged as back, once.
async fn until_it_is_back(process: &GatewayProcess) {
    until("it is logged", || async { !recoveries(process).is_empty() }).await;
    always("all is well", SEVERAL_ROUNDS, || async {
        is_up(process).await && recoveries(process).len() == 1 && warnings(process).len() == 1
    })
    .await;
}

#[tokio::test]
async fn redis_down_at_start_is_logged_once_and_so_is_its_recovery() {
    let address = free_address();
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder().set("redis.url", format!("redis://{address}/0"));
    let process = GatewayProcess::start(&builder, &wechat).await;
    let warning = the_warning(&process).await;
    assert!(
        warning.contains("Connection refused") && warning.contains("What to do") && warning.contains("redis.url"),
        "{warning}"
    );
    let _redis = RedisServer::start_at(address, &[]).await;
    until_it_is_back(&process).await;
}

#[tokio::test]
async fn redis_killed_while_running_is_logged_without_any_request() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = start(&redis, &wechat).await;
    assert!(warnings(&process).is_empty());
    redis.kill();
    let killed = Instant::now();
    until("it is logged", || async { !warnings(&process).is_empty() }).await;
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    the_warning(&process).await;
    assert!(!is_up(&process).await);
    redis.revive().await;
    until_it_is_back(&process).await;
}

#[tokio::test]
async fn frozen_redis_is_logged_once() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = start(&redis, &wechat).await;
    redis.signal("STOP");
    let warning = the_warning(&process).await;
    assert!(warning.contains("redis.response_timeout"), "{warning}");
    redis.signal("CONT");
    until_it_is_back(&process).await;
}

async fn assert_logged_while_forbidden(command: &str) {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = start(&redis, &wechat).await;
    redis.command::<()>(&format!("ACL SETUSER default -{command}")).await;
    let warning = the_warning(&process).await;
    assert!(
        warning.contains(&command.to_uppercase()) && warning.contains("ACL SETUSER"),
        "{command}: {warning}"
    );
    // Other commands still succeed.
    assert_eq!(process.upload_new_photo().await.code(), (200, 0));
    always("Redis stays down", SEVERAL_ROUNDS, || async { !is_up(&process).await }).await;
    redis.command::<()>(&format!("ACL SETUSER default +{command}")).await;
    until_it_is_back(&process).await;
}

#[tokio::test]
async fn command_that_an_acl_forbids_is_named_and_redis_stays_down_until_it_succeeds() {
    let commands = [
        "eval",
        "get",
        "set",
        "del",
        "incr",
        "pexpire",
        "pttl",
        "xadd",
        "xrevrange",
    ];
    futures_util::future::join_all(commands.map(assert_logged_while_forbidden)).await;
}

#[tokio::test]
async fn key_that_an_acl_forbids_is_logged_and_redis_stays_down() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = start(&redis, &wechat).await;
    redis.command::<()>("ACL SETUSER default resetkeys ~wxgate:*").await;
    let warning = the_warning(&process).await;
    assert!(warning.contains("credentials.token_key"), "{warning}");
    always("Redis stays down", SEVERAL_ROUNDS, || async { !is_up(&process).await }).await;
    redis.command::<()>("ACL SETUSER default allkeys").await;
    until_it_is_back(&process).await;
}

#[tokio::test]
async fn missing_password_is_logged_once_as_such() {
    let mut redis = RedisServer::start().await;
    redis.command::<()>("CONFIG SET requirepass zz").await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = GatewayProcess::start(&builder().set("redis.url", redis.url()), &wechat).await;
    // The entry of the first token is longer than what Redis reads before a login.
    process.until_ready().await;
    let warning = the_warning(&process).await;
    assert!(
        warning.contains("NOAUTH") && warning.contains("redis.password"),
        "{warning}"
    );
    redis.kill();
    let is_down = || {
        warnings(&process)
            .iter()
            .any(|warning| warning.contains("Connection refused"))
    };
    until("an outage is still reported as one", || async { is_down() }).await;
}

#[tokio::test]
async fn redis_that_takes_no_writes_is_logged_once() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = start(&redis, &wechat).await;
    redis.refuse_writes().await;
    let warning = the_warning(&process).await;
    assert!(warning.contains("this is a replica"), "{warning}");
    always("Redis stays down", SEVERAL_ROUNDS, || async { !is_up(&process).await }).await;
    redis.command::<()>("REPLICAOF NO ONE").await;
    until_it_is_back(&process).await;
}

#[tokio::test]
async fn command_that_a_proxy_does_not_know_is_logged_as_such() {
    let redis = RedisServer::start_with(&["--rename-command", "EVAL", ""]).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder().set("redis.url", redis.url());
    let process = GatewayProcess::start(&builder, &wechat).await;
    let warning = the_warning(&process).await;
    assert!(
        warning.contains("unknown command") && warning.contains("proxy in front, has no EVAL"),
        "{warning}"
    );
    assert!(
        !warning.contains("args beginning with"),
        "it quotes arguments: {warning}"
    );
    process.assert_signs().await;
}

#[tokio::test]
async fn database_that_redis_does_not_have_is_logged_as_such() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder().set("redis.url", format!("redis://{}/99", redis.address));
    let process = GatewayProcess::start(&builder, &wechat).await;
    let warning = the_warning(&process).await;
    assert!(
        warning.contains("a database that this Redis does not have"),
        "{warning}"
    );
    process.assert_signs().await;
}

#[tokio::test]
async fn proxy_that_hangs_up_at_an_unknown_command_is_usable() {
    let redis = RedisServer::start().await;
    let proxy = Proxy::start(redis.address).await;
    proxy.hang_up_at(&["CLIENT", "HELLO", "INFO", "SELECT", "COMMAND"]);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder().set("redis.url", format!("redis://{}", proxy.address));
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    assert!(redis.value(&token_key(&wechat.account().app_id)).await.is_some());
    assert_eq!(warnings(&process), Vec::<String>::new());
}

#[tokio::test]
async fn proxy_that_hangs_up_at_streams_is_logged() {
    let redis = RedisServer::start().await;
    let proxy = Proxy::start(redis.address).await;
    proxy.hang_up_at(&["XADD"]);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = builder().set("redis.url", format!("redis://{}", proxy.address));
    let process = GatewayProcess::start(&builder, &wechat).await;
    until("it is logged", || async { !warnings(&process).is_empty() }).await;
    let warning = warnings(&process).remove(0);
    assert!(warning.contains("support XADD"), "{warning}");
    // The closed connection fails other commands too, which are retried.
    until("it signs", || async {
        process.sign("https://a.cn/p").await.code() == (200, 0)
    })
    .await;
    let published = async || redis.value(&token_key(&wechat.account().app_id)).await.is_some();
    until("the token is shared", published).await;
    always("it stays down", SEVERAL_ROUNDS, || async {
        !is_up(&process).await && warnings(&process).len() == 1
    })
    .await;
    proxy.hang_up_at(&[]);
    until_it_is_back(&process).await;
}
