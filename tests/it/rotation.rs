//! Secret files that are replaced while the gateway runs.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;
use wxgate::sandbox::SandboxConfig;

use crate::support::{Answer, Gateway, GatewayProcess, SandboxHost, TINY_PHOTO, until};

/// A volume of secrets as Kubernetes mounts it: each file is a link into `..data`, a link that is replaced to
/// replace all files at once.
struct Volume {
    directory: tempfile::TempDir,
}

impl Volume {
    fn new(files: &[(&str, &str)]) -> Self {
        let volume = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        volume.replace(files);
        for (name, _) in files {
            std::os::unix::fs::symlink(Path::new("..data").join(name), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces all files.
    fn replace(&self, files: &[(&str, &str)]) {
        let data = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        for (name, content) in files {
            std::fs::write(data.join(name), content).unwrap();
        }
        let link = self.path("..data_tmp");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        std::fs::rename(link, self.path("..data")).unwrap();
    }
}

const OLD: &str = "an-old-secret-0123456789-abcdefgh";
const NEW: &str = "another-secret-9876543210-hgfedcb";

/// Whether `secret` is accepted for: the token as a client, uploads, the operator's actions.
async fn admitted(gateway: &GatewayProcess, secret: &str) -> [bool; 3] {
    let app_id = gateway.wechat.account().app_id;
    let token = gateway.asks_for_token(app_id.as_str(), secret).await;
    let media_id = gateway.wechat.takes_photo(TINY_PHOTO);
    let upload = gateway
        .request("POST", "/p/active/weChatOa/upload")
        .header("x-api-key", secret)
        .json(&json!({ "mediaId": media_id }));
    let upload = gateway.send(upload).await;
    let action = gateway.operator_renews("jsapi_ticket", secret).await;
    let passed = |answer: Answer| answer.status == 200;
    [token.body["access_token"].is_string(), passed(upload), passed(action)]
}

#[tokio::test]
async fn changed_secret_files_are_taken_over_and_broken_ones_are_not() {
    const NAMES: [&str; 3] = ["client", "keys", "operator"];
    let files = |secret| NAMES.map(|name| (name, secret));
    let volume = Volume::new(&files(OLD));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let path = |name: &str| volume.path(name).display().to_string();
    let builder = Gateway::builder()
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret_file", path("client"))
        .set("auth.mode", "api_key")
        .set("auth.api_keys_file", path("keys"))
        .set("internal.operator_key_file", path("operator"));
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    assert_eq!(admitted(&gateway, OLD).await, [true; 3]);
    assert_eq!(admitted(&gateway, NEW).await, [false; 3]);

    // One file holds two lines, one holds no valid key, one is missing.
    volume.replace(&[("client", "a-secret-and\nanother-one"), ("keys", "schlüssel")]);
    let warned = || gateway.logged("the previous secret stays in use");
    until("each broken file is logged", || async { warned().len() == 3 }).await;
    for key in [
        "internal.clients[0].secret_file",
        "auth.api_keys_file",
        "internal.operator_key_file",
    ] {
        assert_eq!(
            warned().iter().filter(|line| line.contains(key)).count(),
            1,
            "{key}: {:?}",
            warned()
        );
    }
    assert_eq!(admitted(&gateway, OLD).await, [true; 3]);

    // A change of another file does not repeat what is known.
    volume.replace(&[
        ("client", "a-secret-and\nanother-one"),
        ("keys", "schlüssel"),
        ("operator", NEW),
    ]);
    until("the operator's new key is used", || async {
        admitted(&gateway, NEW).await == [false, false, true]
    })
    .await;
    assert_eq!(warned().len(), 3);

    volume.replace(&files(NEW));
    until("the new secrets are used", || async {
        admitted(&gateway, NEW).await == [true; 3]
    })
    .await;
    assert_eq!(admitted(&gateway, OLD).await, [false; 3]);
    assert_eq!(gateway.logged("it is used from now on").len(), 3);
    assert_eq!(warned().len(), 3);
    let log = gateway.log().concat();
    assert!(
        !log.contains(OLD) && !log.contains(NEW) && !log.contains("schlüssel"),
        "{log}"
    );
}

#[tokio::test]
async fn changed_app_secret_is_used_by_the_next_token_call() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let volume = Volume::new(&[("app-secret", "ffffffffffffffffffffffffffffffff")]);
    let builder = Gateway::builder().variable("WXGATE_APP_SECRET_FILE", volume.path("app-secret").display());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    let refused = || async { gateway.sign("https://a.cn/").await.body["errcode"] == 40125 };
    until("WeChat refuses the AppSecret", refused).await;

    volume.replace(&[("app-secret", wechat.account().secret.expose())]);
    until("pages are signed", || async {
        gateway.sign("https://a.cn/").await.status == 200
    })
    .await;
    assert_eq!(
        gateway
            .logged("accounts[0].app_secret_file: the secret has changed")
            .len(),
        1
    );
    // Callers with the new AppSecret get the token.
    assert_eq!(gateway.token().await, gateway.good_token());
}

#[tokio::test]
async fn half_written_app_secret_changes_nothing() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let secret = wechat.account().secret;
    let volume = Volume::new(&[("app-secret", secret.expose())]);
    let builder = Gateway::builder().variable("WXGATE_APP_SECRET_FILE", volume.path("app-secret").display());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;

    volume.replace(&[("app-secret", &secret.expose()[..16])]);
    let warning = "in the file: not 32 letters and digits, as AppSecrets are; the previous secret stays in use";
    until("the incomplete secret is logged", || async {
        gateway.logged(warning).len() == 1
    })
    .await;
    // The AppSecret that was read before is still accepted.
    assert_eq!(gateway.token().await, gateway.good_token());
    assert!(gateway.logged("the secret has changed").is_empty());
}

#[tokio::test]
async fn changed_jwt_key_is_taken_over_and_others_need_a_restart() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let volume = Volume::new(&[("jwt", OLD), ("redis", "a password")]);
    let builder = Gateway::builder()
        .set("auth.mode", "jwt")
        .set("auth.jwt_key_file", volume.path("jwt").display())
        .set("redis.password_file", volume.path("redis").display());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    let status = async |key: &str| {
        let media_id = gateway.wechat.takes_photo(TINY_PHOTO);
        let upload = gateway
            .request("POST", "/p/active/weChatOa/upload")
            .bearer_auth(token(key));
        gateway.send(upload.json(&json!({ "mediaId": media_id }))).await.status
    };
    assert_eq!((status(OLD).await, status(NEW).await), (200, 401));

    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
    volume.replace(&[("jwt", pem), ("redis", "a password")]);
    until("the unfit key is logged", || async {
        gateway.logged("expected a shared secret").len() == 1
    })
    .await;
    assert_eq!((status(OLD).await, status(NEW).await), (200, 401));

    volume.replace(&[("jwt", NEW), ("redis", "another password")]);
    until("the new key is used", || async { status(NEW).await == 200 }).await;
    assert_eq!(status(OLD).await, 401);
    let restart = gateway.logged("redis.password_file: the secret has changed; restart wxgate to use it");
    assert_eq!(restart.len(), 1);
}

#[tokio::test]
async fn secret_file_that_hangs_does_not_keep_the_gateway_from_ending() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, OLD).unwrap();
    let builder = Gateway::builder().set("internal.operator_key_file", file.display());
    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    // Opens once the gateway is reading, and then sends nothing.
    let fifo = Mutex::new(None);
    until("the file is read", || async {
        let mut options = std::fs::OpenOptions::new();
        *fifo.lock().unwrap() = options.write(true).custom_flags(libc::O_NONBLOCK).open(&file).ok();
        fifo.lock().unwrap().is_some()
    })
    .await;
    gateway.assert_signs().await;
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

/// A token that the holder of `key` has signed.
fn token(key: &str) -> String {
    let exp = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 600;
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({ "exp": exp }), &key).unwrap()
}
