//! Public WeChat SDKs from their registries, unchanged except for their base URL or the address of WeChat's host name.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use wxgate::sandbox::{Api, Kill};

use crate::support::packages::{npm, python_with, run, sources};
use crate::support::{Gateway, Tls};

/// The longest that an SDK may run.
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

/// Runs `command`, which uses an SDK, with a gateway as its base URL.
async fn works_unchanged(command: Command) {
    let gateway = Gateway::start().await;
    let base_url = format!("http://{}", gateway.internal);
    works_against(&gateway, &base_url, command).await;
}

/// The same, with the SDK's base URL given.
async fn works_against(gateway: &Gateway, base_url: &str, mut command: Command) {
    let account = gateway.wechat.account();
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos/portrait.jpg");
    command
        .arg(base_url)
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

    // A token that dies between two of its runs makes no difference to it.
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

/// Its token URL is fixed. Only name resolution and the certificate authority are changed, not the SDK.
#[tokio::test]
async fn wechatpy_works_unchanged_if_its_host_is_the_gateway() {
    let tls = Tls::new();
    let [certificate, key] = tls.issue("weixin", "DNS:api.weixin.qq.com,DNS:file.api.weixin.qq.com");
    let gateway = Gateway::builder()
        .set("internal.tls_certificate_file", certificate.display())
        .set("internal.tls_key_file", key.display())
        .start()
        .await;
    let mut wechatpy = python().await;
    let found_at = format!("api.weixin.qq.com 127.0.0.1 {}", gateway.internal.port());
    wechatpy
        .env("PYTHONPATH", sources("hosts"))
        .env("WXGATE_HOSTS", found_at)
        .env("REQUESTS_CA_BUNDLE", tls.authority())
        .env_remove("https_proxy")
        .env_remove("HTTPS_PROXY");
    works_against(&gateway, "", wechatpy).await;
}
