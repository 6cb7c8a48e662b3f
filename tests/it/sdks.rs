//! Public WeChat SDKs, as their registries have them, with only their base URL changed.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use wxgate::sandbox::{Api, Kill};

use crate::support::Gateway;
use crate::support::packages::{npm, python_with, run, sources};

/// The longest that an SDK may take.
const RUN: Duration = Duration::from_mins(1);

async fn node() -> Command {
    let directory = npm("node").await;
    let mut node = Command::new("node");
    node.arg(sources("node").join("check.js"))
        .env("NODE_PATH", directory.join("node_modules"));
    node
}

async fn python() -> Command {
    let mut command = Command::new(python_with("python").await);
    command.arg(sources("python").join("check.py"));
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
