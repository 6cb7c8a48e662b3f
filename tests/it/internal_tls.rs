//! TLS on the internal listener.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wxgate::http::serve::{ConnectionLimit, Limits};
use wxgate::sandbox::SandboxConfig;
use wxgate::settings::{Settings, Sources};

use crate::support::{
    BareServer, Certificate as Issued, Gateway, GatewayBuilder, GatewayProcess, LIMIT, SOON, SandboxHost, Tls, until,
};

/// The files of the internal listener, with these contents.
struct Files(tempfile::TempDir);

impl Files {
    fn copied(pair: &[impl AsRef<Path>; 2]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.replace("certificate", &pair[0]);
        files.replace("key", &pair[1]);
        files
    }

    fn replace(&self, name: &str, with: impl AsRef<Path>) {
        std::fs::copy(with, self.0.path().join(name)).unwrap();
    }

    fn settings(&self, builder: GatewayBuilder) -> GatewayBuilder {
        let path = |name| self.0.path().join(name).display().to_string();
        builder
            .set("internal.tls_certificate_file", path("certificate"))
            .set("internal.tls_key_file", path("key"))
    }
}

/// A client that trusts the authority alone.
fn client(tls: &Tls) -> Client {
    let authority = Certificate::from_pem(&std::fs::read(tls.authority()).unwrap()).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([authority]);
    client.pool_max_idle_per_host(0).timeout(LIMIT).build().unwrap()
}

async fn metrics(client: &Client, address: SocketAddr) -> reqwest::Result<String> {
    let answer = client.get(format!("https://{address}/metrics")).send().await?;
    answer.text().await
}

#[tokio::test]
async fn internal_listener_speaks_tls_and_nothing_else() {
    let tls = Tls::new();
    let files = Files::copied(&tls.issue("internal", "IP:127.0.0.1"));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = files.settings(Gateway::builder());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;

    assert!(
        metrics(&client(&tls), gateway.internal)
            .await
            .unwrap()
            .contains("wxgate_build_info")
    );
    let (app_id, secret) = (wechat.account().app_id, wechat.account().secret);
    let query = [
        ("grant_type", "client_credential"),
        ("appid", app_id.as_str()),
        ("secret", secret.expose()),
    ];
    let token = client(&tls)
        .get(format!("https://{}/cgi-bin/token", gateway.internal))
        .query(&query);
    let token: serde_json::Value = token.send().await.unwrap().json().await.unwrap();
    assert_eq!(token["access_token"], gateway.good_token());

    assert!(
        gateway
            .try_send(gateway.internal_request("GET", "/metrics"))
            .await
            .is_err()
    );
    assert!(metrics(&client(&Tls::new()), gateway.internal).await.is_err());

    for (address, code) in [(gateway.internal, 0), (gateway.address, 0)] {
        let health = builder
            .run(&wechat, &["health", "--address", &address.to_string()])
            .await;
        assert_eq!(health.code, code, "{health:?}");
    }
    let check = builder.run(&wechat, &["check"]).await;
    assert_eq!(check.code, 0, "{check:?}");
}

#[tokio::test]
async fn changed_certificate_is_taken_over_and_half_a_pair_is_not() {
    let (tls, next) = (Tls::new(), Tls::new());
    let files = Files::copied(&tls.issue("internal", "IP:127.0.0.1"));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&files.settings(Gateway::builder()), &wechat).await;
    metrics(&client(&tls), gateway.internal).await.unwrap();

    let [certificate, key] = next.issue("internal", "IP:127.0.0.1");
    files.replace("certificate", certificate);
    let logged = || gateway.logged("is not the key of the first certificate");
    until("the missing half is logged", || async { logged().len() == 1 }).await;
    metrics(&client(&tls), gateway.internal).await.unwrap();

    files.replace("key", key);
    until("the new certificate is used", || async {
        metrics(&client(&next), gateway.internal).await.is_ok()
    })
    .await;
    assert!(metrics(&client(&tls), gateway.internal).await.is_err());
    assert_eq!(logged().len(), 1);
    assert_eq!(gateway.logged("the certificate has changed").len(), 1);
}

#[tokio::test]
async fn handshake_has_a_limit_and_a_place_among_the_connections() {
    let tls = Tls::new();
    let files = Files::copied(&tls.issue("internal", "IP:127.0.0.1"));
    let sources = Sources {
        env: files.settings(Gateway::builder()).environment(
            &*SandboxHost::start(SandboxConfig::default()).await,
            Path::new("images"),
        ),
        ..Sources::default()
    };
    let settings = Settings::load(&sources).unwrap();
    let pair = settings.resolved.internal_tls.unwrap();
    let server = wxgate::http::serve::Tls::new(pair.certified_key(&pair.read()).unwrap()).unwrap();
    let limits = Limits {
        handshake: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = BareServer::with_tls(limits, ConnectionLimit::new(1), server).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let client = client(&tls);
    let mut waiting = std::pin::pin!(client.get(format!("https://{}/late", server.address)).send());
    // The silent client has the only place until its handshake is given up.
    assert!(timeout(Duration::from_millis(500), &mut waiting).await.is_err());
    let answer = timeout(SOON, waiting).await.expect("the place is free").unwrap();
    assert_eq!(answer.text().await.unwrap(), "/late ");
    assert_eq!(timeout(SOON, silent.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn bad_pair_is_refused_by_every_command_in_plain_words() {
    let (tls, other) = (Tls::new(), Tls::new());
    let good = tls.issue("internal", "IP:127.0.0.1");
    let files = Files::copied(&[&good[0], &other.issue("internal", "IP:127.0.0.1")[1]]);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = files.settings(Gateway::builder());
    for command in ["config", "check", "serve"] {
        let ran = builder.run(&wechat, &[command]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        let warned =
            ran.err.contains("internal.tls_key_file: ") && ran.err.contains("is not the key of the first certificate");
        assert!(warned, "{ran:?}");
    }
}

#[tokio::test]
async fn certificate_that_is_not_valid_now_is_warned_about_by_serve_and_check() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    for (issued, problem) in [
        (Issued::Expired, "expired at 2020-01-02T00:00:00Z"),
        (Issued::Future, "is not valid before 2098-01-01T00:00:00Z"),
    ] {
        let warning = format!("internal.tls_certificate_file: the certificate {problem}");
        let files = Files::copied(&Tls::new().issue_for_loopback(issued));
        let builder = files.settings(Gateway::builder());
        let gateway = GatewayProcess::start(&builder, &wechat).await;
        until("serve warns", || async { gateway.logged(&warning).len() == 1 }).await;
        let check = builder.run(&wechat, &["check"]).await;
        assert!(check.code == 0 && check.out.contains(&warning), "{check:?}");
    }

    // A certificate that is valid for two days only is renewed later.
    for (issued, warnings) in [(Issued::Good, 0), (Issued::Expiring, 1)] {
        let files = Files::copied(&Tls::new().issue_for_loopback(issued));
        let check = files.settings(Gateway::builder()).run(&wechat, &["check"]).await;
        let printed = check
            .out
            .matches("tls_certificate_file: the certificate expires at")
            .count();
        assert!(check.code == 0 && printed == warnings, "{check:?}");
    }
}

/// PHP clients that are set to HTTP/1.0 offer it alone in the handshake (ALPN).
#[tokio::test]
async fn client_that_offers_http_1_0_alone_is_answered() {
    let tls = Tls::new();
    let files = Files::copied(&tls.issue("internal", "IP:127.0.0.1"));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&files.settings(Gateway::builder()), &wechat).await;
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--http1.0", "--silent", "--show-error", "--noproxy", "*", "--cacert"]);
    curl.arg(tls.authority());
    curl.arg(format!("https://{}/cgi-bin/token", gateway.internal));
    let answer = timeout(LIMIT, curl.kill_on_drop(true).output()).await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&answer.stdout).contains("\"errcode\":40002"),
        "{answer:?}"
    );
}
