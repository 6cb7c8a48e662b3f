//! A certificate that is not accepted is explained for every kind of client: what is wrong and what to do, without
//! other advice.

use std::net::SocketAddr;
use std::sync::Arc;

use wxgate::sandbox::SandboxConfig;

use crate::support::{
    Certificate, Collector, Gateway, GatewayBuilder, GatewayProcess, ImageService, Ran, RedisServer, S3Server,
    SandboxHost, Tls, TlsFront, until,
};

/// A certificate, whether its authority is trusted, and what is to be said about it: what is wrong, and what to do.
const CASES: [(Certificate, bool, &str, &str); 4] = [
    (
        Certificate::Good,
        false,
        "certificate is not trusted",
        "http_client.ca_file",
    ),
    (Certificate::Expired, true, "certificate has expired", "renew"),
    (
        Certificate::OfAnotherName,
        true,
        "certificate is for another name",
        "name",
    ),
    (
        Certificate::AuthoritysOwn,
        true,
        "certificate is not trusted: it is a CA's own",
        "issued for the server's name",
    ),
];

/// Advice for other failures.
const OTHER_ADVICE: [&str; 7] = [
    "DNS",
    "firewall",
    "field",
    "check that Redis",
    "check that the service is up",
    "endpoint, region",
    "nodes",
];

/// A server behind TLS with a certificate that is not accepted.
struct Broken {
    front: TlsFront,
    tls: Arc<Tls>,
    trusted: bool,
}

impl Broken {
    async fn before(server: SocketAddr, certificate: Certificate, trusted: bool) -> Self {
        let tls = Tls::new();
        let front = tls.before(server, certificate).await;
        Self { front, tls, trusted }
    }

    /// `builder` with the authority, if that is trusted.
    fn client(&self, builder: GatewayBuilder) -> GatewayBuilder {
        let builder = builder
            .set("wechat.connect_timeout", "10s")
            .set("wechat.timeout", "15s")
            .set("credentials.lock_ttl", "60s")
            .patient_with_redis();
        if self.trusted {
            builder.set("http_client.ca_file", self.tls.authority().display())
        } else {
            builder
        }
    }
}

/// Asserts that `check` says about `subject` what is wrong and what to do, and nothing else.
fn assert_checked(ran: &Ran, subject: &str, wrong: &str, cure: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let mut lines = ran
        .out
        .lines()
        .skip_while(|line| !line.starts_with(&format!("FAILED   {subject}")));
    let (failed, advice) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    assert!(failed.contains(wrong), "{wrong} is not in\n{}", ran.out);
    assert!(
        advice.contains("what to do: ") && advice.contains(cure),
        "{cure} is not in\n{}",
        ran.out
    );
    for other in OTHER_ADVICE {
        assert!(!ran.out.contains(other), "{other} is in\n{}", ran.out);
    }
}

/// Waits until a line of the log that holds `about` says what is wrong and what to do.
async fn until_logged(process: &GatewayProcess, about: &str, wrong: &str, cure: &str) {
    until(&format!("{about}: {wrong}: {cure} is logged"), || async {
        let lines = process.logged(about);
        lines.iter().any(|line| line.contains(wrong) && line.contains(cure))
    })
    .await;
    // The TLS library's own line about it.
    assert!(process.logged("failed to verify").is_empty(), "{:?}", process.log());
}

async fn sandbox() -> Arc<SandboxHost> {
    SandboxHost::start(SandboxConfig::default()).await
}

#[tokio::test]
async fn certificate_of_wechat_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let wechat = sandbox().await;
        let broken = Broken::before(wechat.address, certificate, trusted).await;
        let builder = broken
            .client(Gateway::builder())
            .set("wechat.api_base_url", broken.front.url());
        assert_checked(&builder.run(&wechat, &["check"]).await, "wechat", wrong, cure);
        let process = GatewayProcess::start(&builder, &wechat).await;
        until_logged(&process, "WeChat did not issue a credential", wrong, cure).await;
    }
}

/// The name of a trusted authority does not make another one of that name trusted.
#[tokio::test]
async fn certificate_of_an_authority_with_a_known_name_is_not_trusted() {
    let wechat = sandbox().await;
    let broken = Broken::before(wechat.address, Certificate::Good, false).await;
    let known = Tls::new();
    let builder = broken
        .client(Gateway::builder())
        .set("http_client.ca_file", known.authority().display())
        .set("wechat.api_base_url", broken.front.url());
    let ran = builder.run(&wechat, &["check"]).await;
    assert_checked(&ran, "wechat", "certificate is not trusted", "http_client.ca_file");
}

async fn assert_store_is_explained(broken: &Broken, builder: GatewayBuilder, wrong: &str, cure: &str) {
    let wechat = sandbox().await;
    let builder = broken.client(builder);
    assert_checked(&builder.run(&wechat, &["check"]).await, "image_store", wrong, cure);
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    let answer = process.upload_new_photo().await;
    assert_eq!(answer.code(), (502, 3001), "{answer:?}");
    until_logged(&process, "upload failed", wrong, cure).await;
}

#[tokio::test]
async fn certificate_of_the_upload_service_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let service = ImageService::start().await;
        let address = service.url().split('/').nth(2).unwrap().parse().unwrap();
        let broken = Broken::before(address, certificate, trusted).await;
        let builder = Gateway::builder()
            .set("image_store.backend", "http")
            .set("image_store.http.url", format!("{}/upload", broken.front.url()));
        assert_store_is_explained(&broken, builder, wrong, cure).await;
    }
}

#[tokio::test]
async fn certificate_of_s3_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let s3 = S3Server::start().await;
        let broken = Broken::before(s3.address, certificate, trusted).await;
        assert_store_is_explained(&broken, S3Server::used_at(broken.front.url()), wrong, cure).await;
    }
}

#[tokio::test]
async fn certificate_of_the_companys_login_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let wechat = sandbox().await;
        let broken = Broken::before(wechat.address, certificate, trusted).await;
        let builder = Gateway::builder()
            .set("auth.mode", "jwt")
            .set("auth.jwt_algorithm", "RS256")
            .set("auth.jwt_jwks_url", broken.front.url());
        let ran = broken.client(builder).run(&wechat, &["check"]).await;
        assert_checked(&ran, "auth", wrong, cure);
    }
}

#[tokio::test]
async fn certificate_of_the_buckets_public_address_is_explained() {
    let (wechat, s3) = (sandbox().await, S3Server::start().await);
    for (certificate, trusted, wrong, cure) in CASES {
        let broken = Broken::before(s3.address, certificate, trusted).await;
        let builder = S3Server::used_at(s3.url()).set("image_store.s3.public_base_url", broken.front.url());
        let ran = broken.client(builder).run(&wechat, &["check"]).await;
        let finding = ran.out.split("pages can't read it").nth(1).unwrap_or_default();
        assert!(finding.contains(wrong) && finding.contains(cure), "{wrong}: {ran:?}");
        assert!(!finding.contains("public-read"), "{finding}");
    }
}

/// The same for Redis. The client waits for a sentinel for a fixed time, which a busy machine may use up.
async fn assert_redis_checked(builder: &GatewayBuilder, wechat: &Arc<SandboxHost>, wrong: &str, cure: &str) {
    let ran = tokio::sync::Mutex::new(builder.run(wechat, &["check"]).await);
    until("no time-out is in the way", || async {
        let mut ran = ran.lock().await;
        let in_time = !ran.out.contains("timed out");
        if !in_time {
            *ran = builder.run(wechat, &["check"]).await;
        }
        in_time
    })
    .await;
    assert_checked(&ran.into_inner(), "redis", wrong, cure);
}

#[tokio::test]
async fn certificate_of_redis_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let (wechat, redis) = (sandbox().await, RedisServer::start().await);
        let broken = Broken::before(redis.address, certificate, trusted).await;
        let builder = broken
            .client(Gateway::builder().set("credentials.backend", "redis"))
            .set("redis.url", format!("rediss://{}", broken.front.address));
        assert_redis_checked(&builder, &wechat, wrong, cure).await;
        let process = GatewayProcess::start(&builder, &wechat).await;
        until(&format!("/readyz says {wrong}"), || async {
            process.internal_get("/readyz").await.body.to_string().contains(wrong)
        })
        .await;
        for mode in ["sentinel", "cluster"] {
            let builder = builder
                .clone()
                .set("redis.mode", mode)
                .set("redis.nodes", broken.front.address);
            assert_redis_checked(&builder, &wechat, wrong, cure).await;
        }
    }
}

#[tokio::test]
async fn certificate_of_the_collector_is_explained() {
    for (certificate, trusted, wrong, cure) in CASES {
        let (wechat, collector) = (sandbox().await, Collector::start().await);
        let address = collector.url().split('/').nth(2).unwrap().parse().unwrap();
        let broken = Broken::before(address, certificate, trusted).await;
        let builder = broken
            .client(Gateway::builder())
            .set("telemetry.otlp_endpoint", broken.front.url());
        let process = GatewayProcess::start(&builder, &wechat).await;
        process.until_ready().await;
        process.assert_signs().await;
        until_logged(&process, "traces are dropped", wrong, cure).await;
    }
}

#[tokio::test]
async fn authorities_that_can_not_be_read_are_refused_by_every_command() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("http_client.ca_file", "/nonexistent/ca.pem");
    for command in ["serve", "check", "config"] {
        let ran = builder.run(&wechat, &[command]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err
                .contains("http_client.ca_file: can't read \"/nonexistent/ca.pem\""),
            "{ran:?}"
        );
    }
}
