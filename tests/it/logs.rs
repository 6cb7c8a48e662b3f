//! A line for each request: what it says, in both formats, and at which level.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayProcess, LIMIT, SandboxHost, TINY_PHOTO, free_address, until};

/// The line about the request of this id, as soon as it is there.
async fn line(process: &GatewayProcess, id: &str) -> Value {
    let find = || {
        let lines = process.logged(id).into_iter();
        lines
            .map(|line| serde_json::from_str::<Value>(&line).unwrap())
            .find(|line| line["span"]["id"] == id && line["route"].is_string())
    };
    until(&format!("{id} is logged"), || async { find().is_some() }).await;
    find().unwrap()
}

#[tokio::test]
async fn json_access_log_has_id_route_status_and_time() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("telemetry.log_level", "wxgate=debug,info");
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;

    let sign = process.request("GET", "/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2Fp%3Fq%3Dprivate");
    process.send(sign.header("x-request-id", "a-success")).await;
    let done = line(&process, "a-success").await;
    assert_eq!(done["level"], "DEBUG");
    assert_eq!(done["route"], "/wechat/jsSDK");
    assert_eq!(done["method"], "GET");
    assert_eq!(done["status"], 200);
    assert_eq!(done["client"], "127.0.0.1");
    assert!(done["ms"].is_u64(), "{done}");
    assert!(!done.to_string().contains("private"), "{done}");

    let unknown = process.request("GET", "/no/such/path");
    process.send(unknown.header("x-request-id", "a-failure")).await;
    let failure = line(&process, "a-failure").await;
    assert_eq!(failure["level"], "INFO");
    assert_eq!((&failure["status"], &failure["code"]), (&404.into(), &1009.into()));
    assert_eq!(failure["route"], "other");

    let delay = Fault::Delay {
        millis: 1100,
        before_operation: true,
    };
    wechat.sandbox.inject(delay.on(Api::MediaGet).once());
    let upload = process
        .request("POST", "/p/active/weChatOa/upload")
        .json(&serde_json::json!({ "mediaId": wechat.takes_photo(TINY_PHOTO) }));
    let answer = process.send(upload.header("x-request-id", "a-slow-one")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let slow = line(&process, "a-slow-one").await;
    assert_eq!(slow["level"], "INFO");
    assert_eq!((&slow["status"], &slow["message"]), (&200.into(), &"slow".into()));
    assert!(slow["ms"].as_u64().unwrap() >= 1100, "{slow}");
}

#[tokio::test]
async fn internal_listener_has_the_same_access_log() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("telemetry.log_level", "debug");
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    let account = wechat.account();
    let token = |secret: &str| {
        format!(
            "/cgi-bin/token?grant_type=client_credential&appid={}&secret={secret}",
            account.app_id
        )
    };
    let passed = format!("/cgi-bin/getcallbackip?access_token={}", process.good_token());
    for (id, path, level, route) in [
        ("for-prometheus", "/metrics".to_owned(), "DEBUG", "/metrics"),
        ("passed-through", passed, "DEBUG", "pass-through"),
        ("a-handout", token(account.secret.expose()), "INFO", "/cgi-bin/token"),
        ("a-refusal", token("wrong"), "INFO", "/cgi-bin/token"),
    ] {
        let request = process.internal_request("GET", &path).header("x-request-id", id);
        process.send(request).await;
        let line = line(&process, id).await;
        assert_eq!(
            (&line["level"], &line["route"]),
            (&level.into(), &route.into()),
            "{line}"
        );
        assert_eq!((&line["status"], &line["method"]), (&200.into(), &"GET".into()));
        assert_eq!(line["address"], "127.0.0.1");
        assert!(line["ms"].is_u64(), "{line}");
        assert_eq!(line["reason"].is_string(), id == "a-refusal", "{line}");
    }
}

#[tokio::test]
async fn text_access_log_has_the_same_fields() {
    let (public, internal) = (free_address().to_string(), free_address().to_string());
    let directory = tempfile::tempdir().unwrap();
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_wxgate"))
        .args(["serve", "--sandbox"])
        .current_dir(directory.path())
        .env_clear()
        .env("WXGATE__SERVER__LISTEN", &public)
        .env("WXGATE__INTERNAL__LISTEN", &internal)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |path: &str, id: &'static str| {
        client
            .get(format!("http://{public}{path}"))
            .header("x-request-id", id)
            .send()
    };
    until("the gateway answers", || async {
        ask("/healthz", "a-success").await.is_ok()
    })
    .await;
    ask("/no/such/path", "a-failure").await.unwrap();
    let failure = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            // Successes are for the level debug.
            assert!(!line.contains("a-success"), "{line}");
            if line.contains("a-failure") {
                return line;
            }
        }
    };
    let line = timeout(LIMIT, failure).await.unwrap();
    for part in [
        "INFO",
        "id=a-failure",
        "route=\"other\"",
        "method=GET",
        "status=404",
        "ms=",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains('\u{1b}'), "colours are for terminals: {line}");
}
