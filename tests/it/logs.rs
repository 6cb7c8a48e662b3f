//! A line for each request: what it says, in both formats, and at which level.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
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
    let mut gateway = Unread::start("text").await;
    let ask = |path: &str, id: &'static str| {
        let request = gateway.client.get(format!("http://{}{path}", gateway.public));
        request.header("x-request-id", id).send()
    };
    ask("/healthz", "a-success").await.unwrap();
    ask("/no/such/path", "a-failure").await.unwrap();
    let mut lines = gateway.log();
    let failure = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            // Successes are logged at debug only.
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
    assert!(!line.contains('\u{1b}'), "no colours outside a terminal: {line}");
}

#[tokio::test]
async fn risky_settings_are_logged_at_start_and_reported_by_check() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .set("server.trusted_proxies", "0.0.0.0/0")
        .set("wechat.fallback_base_urls", "http://10.0.0.1")
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret", "short")
        .set("auth.mode", "jwt")
        .set("auth.jwt_key", "short");
    let process = GatewayProcess::start(&builder, &wechat).await;
    let check = builder.run(&wechat, &["check"]).await;
    for risk in [
        "server.trusted_proxies has 0.0.0.0/0",
        "wechat.fallback_base_urls reaches 10.0.0.1 over plain http",
        "internal.clients[0].secret (crm) is shorter than 16 characters",
        "auth.jwt_key is shorter than 32 bytes",
    ] {
        assert_eq!(process.logged(risk).len(), 1, "{risk}: {:?}", process.log());
        assert!(check.out.contains(risk), "{check:?}");
    }
}

/// A gateway with its sandbox, whose standard error is a pipe that nobody reads yet.
struct Unread {
    process: Child,
    public: String,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Unread {
    async fn start(format: &str) -> Self {
        let (public, internal) = (free_address().to_string(), free_address().to_string());
        let directory = tempfile::tempdir().unwrap();
        let process = tokio::process::Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .args(["serve", "--sandbox"])
            .current_dir(directory.path())
            .env_clear()
            .env("WXGATE__SERVER__LISTEN", &public)
            .env("WXGATE__INTERNAL__LISTEN", &internal)
            .env("WXGATE__TELEMETRY__LOG_FORMAT", format)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let unread = Self {
            process,
            public,
            client,
            _directory: directory,
        };
        let health = || unread.client.get(format!("http://{}/healthz", unread.public)).send();
        until("the gateway answers", || async { health().await.is_ok() }).await;
        unread
    }

    /// Posts a body to the upload route; the answer's status.
    async fn posts(&self, body: &str) -> u16 {
        let request = self
            .client
            .post(format!("http://{}/p/active/weChatOa/upload", self.public))
            .header("content-type", "application/json")
            .body(body.to_owned());
        let answer = timeout(LIMIT, request.send()).await.expect("it answers");
        answer.unwrap().status().as_u16()
    }

    /// More lines than the pipe and the queue hold.
    async fn fills_its_log(&self) {
        let clients = (0..8).map(|_| async {
            for _ in 0..800 {
                assert_eq!(self.posts("[]").await, 400);
            }
        });
        futures_util::future::join_all(clients).await;
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    async fn terminate(&mut self) -> Option<i32> {
        let id = self.process.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
        let ended = timeout(LIMIT, self.process.wait()).await.expect("it ends");
        ended.unwrap().code()
    }

    /// Reads the log until a line that holds `text`: that line.
    async fn logs(lines: &mut Lines<BufReader<ChildStderr>>, text: &str) -> String {
        let find = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the log goes on");
                if line.contains(text) {
                    return line;
                }
            }
        };
        timeout(LIMIT, find)
            .await
            .unwrap_or_else(|_| panic!("{text} is not logged"))
    }

    fn log(&mut self) -> Lines<BufReader<ChildStderr>> {
        BufReader::new(self.process.stderr.take().unwrap()).lines()
    }
}

#[tokio::test]
async fn log_that_nobody_reads_stops_neither_answers_nor_the_end() {
    let mut gateway = Unread::start("text").await;
    // Four of these filled the pipe of 64 KiB.
    for _ in 0..8 {
        assert_eq!(gateway.posts(&format!("\"{}\"", "x".repeat(16_000))).await, 400);
    }
    gateway.fills_its_log().await;
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn lost_lines_are_counted_and_the_last_ones_are_written() {
    let mut gateway = Unread::start("json").await;
    gateway.fills_its_log().await;
    let mut log = gateway.log();
    let lost = Unread::logs(&mut log, "log lines were lost").await;
    let lost: Value = serde_json::from_str(&lost).unwrap();
    assert_eq!(lost["level"], "WARN");
    assert!(lost["lines"].as_u64().unwrap() > 0, "{lost}");
    let end = Unread::logs(&mut log, "drained");
    let (code, _) = tokio::join!(gateway.terminate(), end);
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn request_bodies_are_not_quoted_in_the_log() {
    for format in ["text", "json"] {
        let mut gateway = Unread::start(format).await;
        let marker = "hunter2".repeat(2000);
        for body in [
            format!("\"{marker}\""),
            format!("[\"{marker}\"]"),
            format!("{{\"mediaId\": [\"{marker}\"]}}"),
            format!("{{\"{marker}\": 1}}"),
            format!("{{\"mediaId\": \"{marker}\"}}"),
            format!("{marker} "),
        ] {
            assert_eq!(gateway.posts(&body).await, 400);
        }
        assert_eq!(gateway.terminate().await, Some(0));
        let mut log = String::new();
        let mut stderr = gateway.process.stderr.take().unwrap();
        stderr.read_to_string(&mut log).await.unwrap();
        assert_eq!(log.matches("PARAM_INVALID").count(), 6, "{log}");
        assert!(!log.contains("hunter2"), "{log}");
        for line in log.lines() {
            assert!(line.len() < 1500, "{line}");
        }
        // The last lines are written before the process ends.
        assert!(log.trim_end().lines().last().unwrap().contains("drained"), "{log}");
    }
}
