//! Public WeChat SDKs, as their registries have them, with only their base URL changed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use wxgate::sandbox::{Api, Kill};

use crate::support::Gateway;

/// The longest that a registry may take.
const INSTALLATION: Duration = Duration::from_secs(180);
/// The longest that an SDK may take.
const RUN: Duration = Duration::from_secs(60);

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(language)
}

/// Where the SDKs are installed: beside what cargo builds, so that once is enough.
fn installed(language: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("sdk").join(language);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs `program` to its end; its standard output. `need` says what is missing where it fails.
async fn run(limit: Duration, need: &str, command: &mut Command) -> String {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(limit, command.output())
        .await
        .unwrap_or_else(|_| panic!("{need}: it did not end within {limit:?}"))
        .unwrap_or_else(|error| panic!("{need}: {error}"));
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{need}\n{stdout}\n{stderr}");
    stdout
}

/// True where what `manifest` asks for is installed in `directory`.
fn is_installed(directory: &Path, manifest: &Path) -> bool {
    let wanted = std::fs::read(manifest).unwrap();
    std::fs::read(directory.join("installed-for")).is_ok_and(|installed| installed == wanted)
}

fn note_installed(directory: &Path, manifest: &Path) {
    std::fs::copy(manifest, directory.join("installed-for")).unwrap();
}

async fn node() -> Command {
    let (sources, directory) = (sources("node"), installed("node"));
    let lock = sources.join("package-lock.json");
    if !is_installed(&directory, &lock) {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(sources.join(file), directory.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory);
        let need = "co-wechat-api can't be installed: this test needs npm, and the npm registry or a cache of it";
        run(INSTALLATION, need, &mut npm).await;
        note_installed(&directory, &lock);
    }
    let mut node = Command::new("node");
    node.arg(sources.join("check.js"))
        .env("NODE_PATH", directory.join("node_modules"));
    node
}

async fn python() -> Command {
    let (sources, directory) = (sources("python"), installed("python"));
    let requirements = sources.join("requirements.txt");
    let python = directory.join("venv/bin/python");
    if !is_installed(&directory, &requirements) {
        let need = "a Python environment can't be made: this test needs python3 and python3-venv";
        let mut venv = Command::new("python3");
        run(
            INSTALLATION,
            need,
            venv.args(["-m", "venv"]).arg(directory.join("venv")),
        )
        .await;
        let need = "wechatpy can't be installed: this test needs PyPI or a mirror of it";
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ]);
        run(INSTALLATION, need, pip.arg(&requirements)).await;
        note_installed(&directory, &requirements);
    }
    let mut command = Command::new(&python);
    command.arg(sources.join("check.py"));
    command
}

/// Lets the SDK that `command` runs do its work against a gateway.
async fn works_unchanged(mut command: Command) {
    let gateway = Gateway::start().await;
    let account = gateway.wechat.account();
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos/portrait.jpg");
    command
        .arg(format!("http://{}", gateway.internal))
        .args([account.app_id.as_str(), account.secret.expose()])
        .arg(photo)
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .env("NO_PROXY", "127.0.0.1");
    let said = run(RUN, "the SDK failed", &mut command).await;
    let said: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(said["token"], gateway.good_token());
    let ticket = gateway.wechat.sandbox.current_ticket(&account.app_id).unwrap();
    assert_eq!(said["ticket"], ticket.expose());
    assert_eq!(said["same"], true, "{said}");
    let sandbox = &gateway.wechat.sandbox;
    assert_eq!(sandbox.calls(Api::MediaUpload), 1);
    assert_eq!(sandbox.calls(Api::MediaGet), 1);
    assert_eq!(sandbox.calls(Api::Token) + sandbox.calls(Api::StableToken), 1);

    // A token that dies between two of its runs is nothing that it would notice.
    sandbox.kill_token(&account.app_id, Kill::default()).unwrap();
    run(RUN, "the SDK failed after its token had died", &mut command).await;
    assert_eq!(sandbox.calls(Api::Token) + sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn co_wechat_api_for_node_works_with_another_base_url() {
    works_unchanged(node().await).await;
}

#[tokio::test]
async fn wechatpy_for_python_works_with_another_base_url() {
    works_unchanged(python().await).await;
}
