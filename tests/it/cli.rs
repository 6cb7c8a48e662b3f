//! The command line.

mod mistakes;

use std::process::{Command, Output};

use crate::support::{Gateway, SandboxHost, until};
use wxgate::sandbox::SandboxConfig;

fn wxgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wxgate"));
    command.args(arguments).env_clear();
    command
}

fn text(output: &Output) -> (i32, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        utf8(&output.stdout),
        utf8(&output.stderr),
    )
}

#[test]
fn sign_prints_what_wechats_checker_prints() {
    let ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";
    let arguments = [
        "sign",
        "--ticket",
        ticket,
        "--url",
        "http://mp.weixin.qq.com?params=value",
        "--nonce",
        "Wm3WZYTPz0wzccnW",
        "--timestamp",
        "1414587457",
    ];
    let (code, out, _) = text(&wxgate(&arguments).output().unwrap());
    assert_eq!(code, 0);
    assert!(out.contains(&format!("jsapi_ticket={ticket}&noncestr=Wm3WZYTPz0wzccnW&timestamp=1414587457&url=http://mp.weixin.qq.com?params=value\n")), "{out}");
    assert!(out.contains("0f9de62fce790f9a083d5c99e95740ceb90c27ed"), "{out}");
}

#[test]
fn unusable_jwt_key_is_refused_by_config_and_check() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    let settings = "accounts = [{ app_id = \"wx1\", app_secret = \"s\" }]\n[auth]\nmode = \"jwt\"\n\
                    jwt_algorithm = \"RS256\"\njwt_key = \"-----BEGIN PUBLIC KEY-----\\nhunter2\\n-----END PUBLIC KEY-----\"\n";
    std::fs::write(&file, settings).unwrap();
    for command in ["config", "check", "serve"] {
        let (code, out, err) = text(&wxgate(&[command, "--config", file.to_str().unwrap()]).output().unwrap());
        assert_eq!(code, 2, "{command}");
        // `config` alone shows what there is, before the problem.
        assert_eq!(out.is_empty(), command != "config", "{out}");
        assert!(
            err.contains("gate.toml:5: auth.jwt_key: expected a public key in PEM for RS256"),
            "{err}"
        );
        assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
    }
}

#[test]
fn settings_problems_are_all_listed_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    std::fs::write(
        &file,
        "[server]\nlisten = \"nowhere\"\nrequest_timeot = \"5s\"\n[media]\nmax_bytes = \"many\"\n",
    )
    .unwrap();
    let (code, out, err) = text(&wxgate(&["serve", "--config", file.to_str().unwrap()]).output().unwrap());
    assert_eq!((code, out.as_str()), (2, ""));
    for part in [
        "gate.toml",
        "server.listen",
        "nowhere",
        "request_timeot",
        "media.max_bytes",
        "many",
        "accounts",
    ] {
        assert!(err.contains(part), "{part} is not in:\n{err}");
    }
    let (code, _, err) = text(&wxgate(&["serve", "--nonsense"]).output().unwrap());
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = text(&wxgate(&["config", "--config", "/no/such/file.toml"]).output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("/no/such/file.toml"), "{err}");
}

/// As with `2>&1 | head -1`.
#[test]
fn failure_that_nobody_reads_has_its_exit_code() {
    for (arguments, expected) in [
        (vec!["config", "--config", "/no/such/file.toml"], 2),
        (vec!["health", "--address", "127.0.0.1:1"], 1),
        (vec!["--nonsense"], 2),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = wxgate(&arguments);
        let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status();
        assert_eq!(status.unwrap().code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn config_prints_settings_that_load_again_and_no_secret() {
    let output = wxgate(&["config"])
        .env("WXGATE_APP_ID", "wx1")
        .env("WXGATE_APP_SECRET", "very-secret-1")
        .output()
        .unwrap();
    let (code, out, _) = text(&output);
    assert_eq!(code, 0);
    assert!(!out.contains("very-secret-1") && out.contains("********"), "{out}");
    out.parse::<toml::Table>().unwrap();
}

#[test]
fn help_explains_every_command() {
    let (code, out, _) = text(&wxgate(&["--help"]).output().unwrap());
    assert_eq!(code, 0);
    for command in ["serve", "sandbox", "check", "sign", "explain", "openapi", "config"] {
        assert!(out.contains(command), "{out}");
        let (code, help, _) = text(&wxgate(&[command, "--help"]).output().unwrap());
        assert!(code == 0 && help.len() > 60, "{command}: {help}");
    }
}

/// `serve --sandbox` ignores the configured accounts and stores, and `health` takes the same settings as the gateway.
#[tokio::test]
async fn serve_sandbox_and_health_take_any_settings() {
    let directory = tempfile::tempdir().unwrap();
    let address = crate::support::free_address();
    let command = |arguments: &[&str]| {
        let mut command = wxgate(arguments);
        command
            .current_dir(directory.path())
            .env("WXGATE_APP_ID", "wx1")
            .env("WXGATE__ACCOUNTS__0__APP_SECRET", "very-secret-1")
            .env("WXGATE__CREDENTIALS__BACKEND", "redis")
            .env("WXGATE__SERVER__LISTEN", address.to_string())
            .env("WXGATE__INTERNAL__LISTEN", "");
        command
    };
    let (code, _, problem) = text(&command(&["health"]).output().unwrap());
    assert!(code == 1 && problem.contains("does not answer"), "{problem}");
    let mut serving = command(&["serve", "--sandbox"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("it is healthy", || async {
        let health = command(&["health"]).output().unwrap();
        assert_ne!(health.status.code(), Some(2));
        health.status.success()
    })
    .await;
    let without_an_account = wxgate(&["health"])
        .env("WXGATE__SERVER__LISTEN", address.to_string())
        .output()
        .unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert!(without_an_account.status.success(), "{without_an_account:?}");
}

/// The port may become free again, so this is not a mistake in the settings.
#[test]
fn taken_port_ends_serve_and_the_sandbox_with_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (listen, arguments) in [
        (taken.as_str(), vec!["serve", "--sandbox"]),
        ("127.0.0.1:0", vec!["serve", "--sandbox", "--sandbox-listen", &taken]),
        ("", vec!["sandbox", "--listen", &taken]),
    ] {
        let output = wxgate(&arguments)
            .current_dir(directory.path())
            .env("WXGATE__SERVER__LISTEN", listen)
            .env("WXGATE__INTERNAL__LISTEN", "")
            .output();
        let (code, _, problem) = text(&output.unwrap());
        assert!(code == 1 && problem.contains(&taken), "{arguments:?}: {code} {problem}");
    }
}

#[test]
fn command_line_without_a_command_serves() {
    let by_variable = wxgate(&[]).env("WXGATE_CONFIG", "/no/such/file").output();
    let by_option = wxgate(&["--config", "/no/such/file"]).output();
    for output in [by_variable, by_option] {
        let (code, _, problem) = text(&output.unwrap());
        assert!(
            code == 2 && problem.contains("/no/such/file: can't read the settings file"),
            "{problem}"
        );
    }
}

/// As Compose writes `${WXGATE_CONFIG:-}`.
#[test]
fn empty_variable_for_a_file_counts_as_not_set() {
    let mut config = wxgate(&["config"]);
    config.env("WXGATE_CONFIG", "").env("WXGATE_APP_SECRET_FILE", "");
    config.env("WXGATE_APP_ID", "wx1").env("WXGATE_APP_SECRET", "a-secret");
    let (code, out, problem) = text(&config.output().unwrap());
    assert!(code == 0 && out.contains("app_id = \"wx1\""), "{problem}");
}

#[tokio::test]
async fn serve_sandbox_needs_no_settings_and_serves_the_demo_page() {
    let directory = tempfile::tempdir().unwrap();
    let address = crate::support::free_address();
    let mut child = wxgate(&["serve", "--sandbox"])
        .current_dir(directory.path())
        .env("WXGATE__SERVER__LISTEN", address.to_string())
        .env("WXGATE__INTERNAL__LISTEN", "")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line.trim(), format!("The demo page: http://{address}/"));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };
    let (page, script, docs) = (get("/").await, get("/sandbox/demo.js").await, get("/docs/").await);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(page.contains("/sandbox/demo.js"), "{page}");
    assert!(
        script.contains("/wechat/jsSDK") && script.contains("/p/active/weChatOa/upload"),
        "{script}"
    );
    assert!(
        !docs.contains("https://"),
        "the page of the documents needs the internet: {docs}"
    );
}

#[test]
fn config_prints_incomplete_settings_then_the_problems() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    let config = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = wxgate(&["config", "--config", file.to_str().unwrap()]);
        text_of(command.env("WXGATE__AUTH__API_KEYS", "very-secret-1"))
    };
    let (code, out, err) = config("[server]\nlisten = \"127.0.0.1:81\"\nrequest_timeout = \"soon\"\n");
    assert_eq!(code, 2);
    let shown: toml::Table = out.parse().unwrap();
    assert_eq!(shown["server"]["listen"].as_str(), Some("127.0.0.1:81"));
    // A wrong value is not used, so the default is shown.
    assert_eq!(shown["server"]["request_timeout"].as_str(), Some("30s"));
    assert!(out.contains("********") && !(out + &err).contains("very-secret-1"));
    assert!(
        err.contains("server.request_timeout") && err.contains("accounts"),
        "{err}"
    );

    // A quote is missing: what follows may be read as the value of another key.
    let broken = "[redis]\nusername = \"\"\"\npassword = \"very-secret-2\"\n[server]\nlisten = \"127.0.0.1:82\"\n";
    let (code, out, err) = config(broken);
    assert_eq!(code, 2);
    assert!(!(out.clone() + &err).contains("very-secret"), "{out}{err}");
    assert!(err.contains("not valid TOML"), "{err}");
    out.parse::<toml::Table>().unwrap();
}

fn text_of(command: &mut Command) -> (i32, String, String) {
    text(&command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reads_only_the_address_from_the_settings() {
    let gateway = Gateway::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    let health = |text: &str| {
        std::fs::write(&file, text).unwrap();
        text_of(&mut wxgate(&["health", "--config", file.to_str().unwrap()]))
    };
    let listen = format!("[server]\nlisten = \"{}\"\n", gateway.address);
    for mistakes in [
        "request_timeout = \"soon\"\n[nonsense]\nx = 1\n",
        "[auth]\nmode = \"jwt\"\n[[accounts]]\napp_secret_file = \"/no/such/file\"\n",
        "shutdown_grace = \n",
    ] {
        assert_eq!(health(&format!("{listen}{mistakes}")).0, 0, "{mistakes}");
    }
    let (code, _, err) = health("[server]\nlisten = \"nowhere\"\n");
    assert!(code == 2 && err.contains("server.listen"), "{err}");
    assert!(!err.contains("accounts"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_a_gateway_or_a_sandbox_at_the_address_given() {
    let (gateway, wechat) = (
        Gateway::start().await,
        SandboxHost::start(SandboxConfig::default()).await,
    );
    let unused_address = crate::support::free_address();
    for (address, expected) in [
        (gateway.address.to_string(), 0),
        (format!("localhost:{}", wechat.address.port()), 0),
        (unused_address.to_string(), 1),
        ("localhost".to_owned(), 2),
        ("http://localhost:80".to_owned(), 2),
        ("someone@localhost:80".to_owned(), 2),
    ] {
        let arguments = ["health", "--address", &address];
        let mut command = wxgate(&arguments);
        let (code, _, err) = text_of(command.env("WXGATE_CONFIG", "/no/such/file"));
        assert_eq!(code, expected, "{address}: {err}");
    }
}

/// As in a container, where the ports are published on the host's loopback.
#[tokio::test]
async fn serve_sandbox_on_every_address_prints_addresses_that_open() {
    let directory = tempfile::tempdir().unwrap();
    let [public, sandbox] = [crate::support::free_address(), crate::support::free_address()].map(|at| at.port());
    let lines = async |arguments: &[&str]| {
        let mut child = wxgate(arguments)
            .current_dir(directory.path())
            .env("WXGATE__SERVER__LISTEN", format!("0.0.0.0:{public}"))
            .env("WXGATE__INTERNAL__LISTEN", "")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<_> = std::io::BufRead::lines(out).take(2).map(Result::unwrap).collect();
        let mut statuses = Vec::new();
        for line in &lines {
            let url = line.split_once(": ").unwrap().1.split("  ").next().unwrap();
            statuses.push(reqwest::get(url).await.unwrap().status().as_u16());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(statuses, [200, 200], "{lines:?}");
        lines
    };
    let listen = format!("0.0.0.0:{sandbox}");
    let opened = lines(&["serve", "--sandbox", "--sandbox-listen", &listen]).await;
    assert_eq!(opened[0], format!("The demo page: http://localhost:{public}/"));
    assert_eq!(
        opened[1],
        format!("The sandbox's faults and state: http://localhost:{sandbox}/sandbox")
    );
    let closed = lines(&["serve", "--sandbox"]).await;
    assert!(
        closed[1].contains("http://127.0.0.1:") && closed[1].contains("--sandbox-listen"),
        "{closed:?}"
    );
}
