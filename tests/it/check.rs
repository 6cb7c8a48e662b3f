//! `wxgate check`: each dependency in each of its bad states; the check changes nothing.

mod wechat;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Gateway, GatewayBuilder, ImageService, Ran, RedisServer, SandboxHost, accounts, free_address, until,
};

async fn sandbox() -> Arc<SandboxHost> {
    SandboxHost::start(SandboxConfig::default()).await
}

/// Mark and text of the lines about `subject`.
fn lines<'a>(ran: &'a Ran, subject: &str) -> Vec<(&'a str, &'a str)> {
    let marked = ran.out.lines().filter_map(|line| {
        let (mark, rest) = line.split_once("  ")?;
        let (about, text) = rest.trim_start().split_once("  ")?;
        about.starts_with(subject).then(|| (mark.trim(), text.trim()))
    });
    marked.collect()
}

/// Asserts that only `subject` has failed, with `seen` as the reason and `cure` as what to do.
fn assert_failed(ran: &Ran, subject: &str, seen: &str, cure: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let failed = ran.out.lines().filter(|line| line.starts_with("FAILED"));
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 1, "{}", ran.out);
    assert!(failed[0].contains(subject) && failed[0].contains(seen), "{}", ran.out);
    let advised = ran
        .out
        .lines()
        .any(|line| line.contains("what to do: ") && line.contains(cure));
    assert!(advised, "{cure} is not in\n{}", ran.out);
    assert!(
        ran.err.contains(&format!("the check has failed: {subject}")),
        "{}",
        ran.err
    );
}

/// On a busy machine the sandbox may take longer to answer than WeChat does.
fn patient() -> GatewayBuilder {
    Gateway::builder()
        .set("wechat.connect_timeout", "10s")
        .set("wechat.timeout", "15s")
        .patient_with_redis()
}

fn with_redis(redis: &RedisServer) -> GatewayBuilder {
    patient().redis(redis)
}

#[tokio::test]
async fn check_passes_and_leaves_nothing_behind() {
    let (wechat, redis) = (sandbox().await, RedisServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let builder = with_redis(&redis)
        .set("accounts.0.js_domains", "h5.example.com")
        .set("image_store.local.directory", folder.path().display());
    let ran = builder.run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        !ran.out.contains("FAILED") && !ran.out.contains("warning "),
        "{}",
        ran.out
    );
    for subject in [
        "settings",
        "js_domains",
        "redis",
        "wechat",
        "clock",
        "account",
        "image_store",
    ] {
        // On a busy machine Redis may well be slow.
        let fine = |(mark, text): &(&str, &str)| *mark == "ok" || text.contains("answers in");
        assert!(lines(&ran, subject).iter().all(fine), "{}", ran.out);
        assert!(!lines(&ran, subject).is_empty(), "{subject} is not in\n{}", ran.out);
    }
    assert!(ran.out.contains("read back and removed"), "{}", ran.out);
    assert!(ran.out.ends_with("0 failed\n") && ran.err.is_empty(), "{ran:?}");
    assert_eq!(redis.keys().await, [""; 0]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn check_prints_json() {
    let wechat = sandbox().await;
    wechat.sandbox.inject(Fault::errcode(40013).on(Api::StableToken));
    let ran = patient().run(&wechat, &["check", "--json"]).await;
    assert_eq!(ran.code, 1);
    let json = ran.json();
    assert_eq!(json["state"], "failed");
    let account = json["findings"].as_array().unwrap();
    let account = account.iter().find(|finding| finding["check"] == "account").unwrap();
    assert_eq!(account["app_id"], wechat.account().app_id.as_str());
    assert_eq!(account["state"], "failed");
    assert!(account["message"].as_str().unwrap().contains("40013"));
    assert!(account["cure"].as_str().unwrap().contains("app_id"));
}

#[tokio::test]
async fn check_skips_redis_with_the_memory_backend() {
    let ran = patient().run(&sandbox().await, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(matches!(lines(&ran, "redis")[..], [("warning", text)] if text.contains("not used")));
    assert!(
        matches!(lines(&ran, "js_domains")[..], [("warning", text)] if text.contains("pages of any site are signed"))
    );
}

#[tokio::test]
async fn wrong_settings_exit_with_2() {
    let wechat = sandbox().await;
    let ran = patient().set("media.max_bytes", "many").run(&wechat, &["check"]).await;
    assert!(
        ran.code == 2 && ran.out.is_empty() && ran.err.contains("media.max_bytes"),
        "{ran:?}"
    );
    let ran = patient()
        .set("media.max_bytes", "many")
        .run(&wechat, &["check", "--json"])
        .await;
    assert!(ran.code == 2 && ran.err.contains("media.max_bytes"), "{ran:?}");
    let json = ran.json();
    let finding = &json["findings"][0];
    assert_eq!([&finding["check"], &finding["state"]], ["settings", "failed"]);
    assert!(
        finding["message"].as_str().unwrap().contains("media.max_bytes"),
        "{ran:?}"
    );
    assert_eq!(json["findings"][1], serde_json::Value::Null);
    assert_eq!(patient().run(&wechat, &["check", "--nonsense"]).await.code, 2);
    let help = patient().run(&wechat, &["check", "--help"]).await;
    assert!(help.code == 0 && help.out.contains("Exit code"), "{help:?}");
}

#[tokio::test]
async fn redis_is_down() {
    let down = format!("redis://:its-password@{}/0", free_address());
    let builder = patient().set("credentials.backend", "redis").set("redis.url", down);
    let ran = builder.run(&sandbox().await, &["check"]).await;
    assert_failed(&ran, "redis", "no answer from", "check that Redis is up");
    assert!(!ran.out.contains("its-password"), "{}", ran.out);
}

#[tokio::test]
async fn redis_without_login_or_write_permission_fails_the_check() {
    let reader = ["--user", "reader", "on", ">its-password", "~*", "+@read", "+ping"];
    let redis = RedisServer::start_with(&reader).await;
    let wechat = sandbox().await;
    let reader = with_redis(&redis).set("redis.username", "reader");
    let ran = reader
        .set("redis.password", "another-password")
        .run(&wechat, &["check"])
        .await;
    assert_failed(&ran, "redis", "authentication failed", "redis.password");
    assert!(!ran.out.contains("another-password"), "{}", ran.out);
    let reader = with_redis(&redis).set("redis.username", "reader");
    let ran = reader
        .set("redis.password", "its-password")
        .run(&wechat, &["check"])
        .await;
    assert_failed(&ran, "redis", "some operations are not allowed", "+set");
    assert!(lines(&ran, "redis")[0].1.contains("answers in"), "{}", ran.out);
}

#[tokio::test]
async fn journal_of_another_type_is_warned_about() {
    let (redis, wechat) = (RedisServer::start().await, sandbox().await);
    let app_id = wechat.account().app_id;
    redis.command::<()>(&format!("SET wxgate:journal:{app_id} x")).await;
    let ran = with_redis(&redis).run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let warning = format!("wxgate:journal:{app_id} is of another type");
    assert!(
        ran.out.contains(&warning) && ran.out.contains("remove or rename"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn redis_acl_on_other_keys_is_reported() {
    let narrow = ["--user", "narrow", "on", "nopass", "~wxgate:*", "+@all"];
    let redis = RedisServer::start_with(&narrow).await;
    let narrow = with_redis(&redis)
        .set("redis.username", "narrow")
        .set("redis.password", "any");
    let ran = narrow.run(&sandbox().await, &["check"]).await;
    assert_failed(&ran, "redis", "NoPerm", "credentials.token_key");
}

#[tokio::test]
async fn redis_eviction_policy_is_warned_about() {
    let wechat = sandbox().await;
    let full = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    for (options, expected) in [
        (&full[..], ("warning", "allkeys-lru")),
        (&full[2..], ("warning", "it is not now")),
        (&full[..2], ("ok", "noeviction")),
        // Only what the gateway needs, so INFO is refused.
        (
            &[
                "--user",
                "few",
                "on",
                "nopass",
                "~*",
                "+get",
                "+set",
                "+del",
                "+incr",
                "+pexpire",
                "+pttl",
                "+eval",
                "+xadd",
                "+xrevrange",
                "+ping",
            ][..],
            ("ok", "this user may not read its eviction policy"),
        ),
    ] {
        let redis = RedisServer::start_with(options).await;
        let mut builder = with_redis(&redis);
        if options.contains(&"few") {
            builder = builder.set("redis.username", "few").set("redis.password", "any");
        }
        let ran = builder.run(&wechat, &["check"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let (mark, text) = *lines(&ran, "redis").last().unwrap();
        assert!(mark == expected.0 && text.contains(expected.1), "{}", ran.out);
    }
}

async fn assert_folder_can_not_be_made(folder: &Path) {
    let builder = patient().set("image_store.local.directory", folder.display());
    let ran = builder.run(&sandbox().await, &["check"]).await;
    assert_failed(
        &ran,
        "image_store",
        "can't create the folder",
        "image_store.local.directory",
    );
}

#[tokio::test]
async fn folder_without_write_permission_fails_the_check() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("images");
    assert_folder_can_not_be_made(&inside).await;
}

#[tokio::test]
async fn missing_folder_is_reported_and_does_not_stay() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("not-mounted/images");
    let builder = patient().set("image_store.local.directory", folder.display());
    let ran = builder.run(&sandbox().await, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (mark, text) = lines(&ran, "image_store")[0];
    assert!(mark == "warning" && text.contains("does not exist"), "{}", ran.out);
    assert!(ran.out.contains("mount its disk"), "{}", ran.out);
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);

    let unusable = folder.join("a".repeat(300));
    assert_folder_can_not_be_made(&unusable).await;
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
}

/// A gateway whose pictures go to the upload service at `url`.
fn with_service(url: &str) -> GatewayBuilder {
    patient()
        .set("image_store.backend", "http")
        .set("image_store.http.url", url)
}

#[tokio::test]
async fn upload_service_gets_a_picture_only_on_demand() {
    let (wechat, service) = (sandbox().await, ImageService::start().await);
    let builder = with_service(&service.url());
    let ran = builder.run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("no picture was posted"), "{}", ran.out);
    let ran = builder.run(&wechat, &["check", "--upload"]).await;
    assert!(
        ran.code == 0 && ran.out.contains("http://images.example.com/picture.jpg"),
        "{ran:?}"
    );
    let elsewhere = builder.set("image_store.http.url_pointer", "/url");
    let ran = elsewhere.run(&wechat, &["check", "--upload"]).await;
    assert_failed(&ran, "image_store", "nothing at /url", "url_pointer");
}

#[tokio::test]
async fn failing_upload_service_fails_the_check() {
    let wechat = sandbox().await;
    let down = with_service(&format!("http://{}/upload", free_address()));
    let ran = down.run(&wechat, &["check"]).await;
    assert_failed(&ran, "image_store", "no connection", "check that the service is up");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/upload", listener.local_addr().unwrap());
    let refusing = Router::new().fallback(async || StatusCode::FORBIDDEN);
    let serving = tokio::spawn(async { axum::serve(listener, refusing).await });
    let ran = with_service(&url).run(&wechat, &["check"]).await;
    serving.abort();
    assert_failed(&ran, "image_store", "403", "headers");
}

#[tokio::test]
async fn silent_dependency_delays_the_check_only_briefly() {
    let wechat = sandbox().await;
    wechat.sandbox.inject(Fault::Stall);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let builder = with_service(&format!("http://{address}/upload"))
        .set("image_store.http.timeout", "1s")
        .set("wechat.timeout", "1s")
        .set("credentials.backend", "redis")
        .set("redis.url", format!("redis://{address}/0"));
    let started = tokio::time::Instant::now();
    let ran = builder.run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 1);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let failed = ran.out.lines().filter(|line| line.starts_with("FAILED")).count();
    assert_eq!(failed, 4, "{}", ran.out);
    until("the listener is still there", || async { silent.local_addr().is_ok() }).await;
}

#[tokio::test]
async fn many_accounts_are_checked_with_few_open_files_and_reported_in_few_lines() {
    let accounts = accounts(100);
    let (wechat, redis) = (
        SandboxHost::start(SandboxConfig::with_accounts(accounts.clone())).await,
        RedisServer::start().await,
    );
    let bad = &accounts[7].app_id;
    wechat
        .sandbox
        .inject(Fault::errcode(40125).on(Api::StableToken).for_account(bad.clone()));
    wechat.sandbox.inject(Fault::delay(Duration::from_millis(20)));
    let ran = with_redis(&redis)
        .accounts(&accounts)
        .run_with_open_files(64, &wechat, &["check"])
        .await;
    assert_failed(&ran, &format!("account {bad}"), "40125", "AppSecret");
    assert!(ran.out.contains("account, 99 accounts"), "{}", ran.out);
    assert!(ran.out.lines().count() < 40, "{}", ran.out);
}
