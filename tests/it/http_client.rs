//! Outgoing connections: through a forward proxy or around it, and which certificates are trusted.

use std::net::SocketAddr;
use std::sync::Arc;

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Certificate, ForwardProxy, Gateway, GatewayBuilder, GatewayProcess, ImageService, Ran, RedisServer, S3Server,
    SandboxHost, TINY_PHOTO, Tls, TlsFront, proxy_password_forms, until,
};

/// A WeChat that speaks TLS, with a certificate of a company's own authority.
struct TlsWeChat {
    tls: Arc<Tls>,
    wechat: Arc<SandboxHost>,
    front: TlsFront,
}

impl TlsWeChat {
    async fn start(certificate: Certificate) -> Self {
        let tls = Tls::new();
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        let front = tls.before(wechat.address, certificate).await;
        Self { tls, wechat, front }
    }

    /// A proxy; only it can resolve the name of this WeChat.
    async fn proxy(&self) -> ForwardProxy {
        ForwardProxy::start(&[("api.weixin.test:443", self.front.address)]).await
    }

    /// A gateway that trusts the authority.
    fn trusted(&self) -> GatewayBuilder {
        patient().set("http_client.ca_file", self.tls.authority().display())
    }
}

/// On a busy machine the sandbox may take longer to answer than WeChat does.
fn patient() -> GatewayBuilder {
    Gateway::builder()
        .set("wechat.connect_timeout", "10s")
        .set("wechat.timeout", "15s")
        .set("credentials.lock_ttl", "60s")
        .set("telemetry.log_level", "trace")
}

/// Asserts that token, ticket, photo and pass-through work.
async fn assert_all_works(gateway: &GatewayProcess) {
    gateway.until_ready().await;
    gateway.assert_signs().await;
    let stored = gateway.upload_new_photo().await;
    assert_eq!(stored.code(), (200, 0), "{stored:?}");
    let token = gateway.token().await;
    let passed = gateway.calls_wechat(&token).await;
    assert!(passed.body["ip_list"].is_array(), "{passed:?}");
}

fn assert_no_password(text: &str) {
    for form in proxy_password_forms() {
        assert!(!text.contains(&form), "the proxy's password shows in\n{text}");
    }
}

#[tokio::test]
async fn wechat_behind_a_proxy_with_a_password_is_reached_by_tunnel() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let proxy = weixin.proxy().await;
    let builder = weixin
        .trusted()
        .set("wechat.api_base_url", "https://api.weixin.test")
        .set("http_client.proxy", proxy.url());
    let gateway = GatewayProcess::start(&builder, &weixin.wechat).await;
    assert_all_works(&gateway).await;
    assert!(proxy.asked().iter().all(|asked| asked == "CONNECT api.weixin.test:443"));

    let check = builder.run(&weixin.wechat, &["check"]).await;
    assert_eq!(check.code, 0, "{check:?}");
    assert_eq!(proxy.refused(), 0);
    let config = builder.run(&weixin.wechat, &["config"]).await;
    assert!(config.out.contains("http://gateway:********@127.0.0.1:"), "{config:?}");
    for said in [check, config].map(|ran| ran.out + &ran.err) {
        assert_no_password(&said);
    }
    assert_no_password(&gateway.log().join("\n"));
}

#[tokio::test]
async fn plain_wechat_behind_a_proxy_with_a_password_is_reached() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let proxy = ForwardProxy::start(&[("api.weixin.test:80", wechat.address)]).await;
    let builder = patient()
        .set("wechat.api_base_url", "http://api.weixin.test")
        .set("http_client.proxy", proxy.url());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    assert_all_works(&gateway).await;
    let asked = proxy.asked();
    assert!(
        asked.iter().all(|asked| asked.ends_with(" api.weixin.test:80")),
        "{asked:?}"
    );
    assert_no_password(&gateway.log().join("\n"));
}

#[tokio::test]
async fn wechat_behind_a_socks_proxy_is_reached_by_its_name() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let proxy = weixin.proxy().await;
    let builder = weixin
        .trusted()
        .set("wechat.api_base_url", "https://api.weixin.test")
        .set("http_client.proxy", proxy.socks_url());
    let gateway = GatewayProcess::start(&builder, &weixin.wechat).await;
    assert_all_works(&gateway).await;
    assert!(proxy.asked().iter().all(|asked| asked == "SOCKS api.weixin.test:443"));
    assert_no_password(&gateway.log().join("\n"));
}

#[tokio::test]
async fn connections_through_a_proxy_are_used_again() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let proxy = weixin.proxy().await;
    let builder = weixin
        .trusted()
        .set("wechat.api_base_url", "https://api.weixin.test")
        .set("http_client.proxy", proxy.url());
    let gateway = GatewayProcess::start(&builder, &weixin.wechat).await;
    gateway.until_ready().await;
    let token = gateway.token().await;
    for _ in 0..20 {
        gateway.calls_wechat(&token).await;
    }
    assert_eq!(weixin.wechat.sandbox.calls(Api::GetCallbackIp), 20);
    let tunnels = proxy.asked().len();
    assert!(tunnels <= 3, "{tunnels}");
}

#[tokio::test]
async fn wrong_proxy_password_is_reported_and_not_shown() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let proxy = weixin.proxy().await;
    for (base, cause) in [
        ("https://api.weixin.test", "no connection to WeChat"),
        // Without a tunnel the proxy's answer looks like WeChat's.
        ("http://api.weixin.test", "407 Proxy Authentication Required"),
    ] {
        let builder = weixin
            .trusted()
            .set("wechat.api_base_url", base)
            .set("http_client.proxy", proxy.url_with("hunter2-hunter2"));
        let check = builder.run(&weixin.wechat, &["check"]).await;
        assert_eq!(check.code, 1, "{check:?}");
        let output = check
            .out
            .lines()
            .find(|line| line.starts_with("FAILED   wechat"))
            .unwrap();
        assert!(
            output.contains(cause) && output.to_lowercase().contains("proxy"),
            "{output}"
        );
        assert!(!format!("{check:?}").contains("hunter2"), "{check:?}");
    }
    assert!(proxy.refused() > 0);
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn upload_service_is_reached_beside_the_proxy() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let proxy = weixin.proxy().await;
    let service = ImageService::start().await;
    let builder = weixin
        .trusted()
        .set("wechat.api_base_url", "https://api.weixin.test")
        .set("image_store.backend", "http")
        .set("image_store.http.url", service.url());
    let set = builder
        .clone()
        .set("http_client.proxy", proxy.url())
        .set("http_client.no_proxy", "files.internal,127.0.0.0/8");
    let environment = builder
        .clone()
        .set("http_client.proxy", "")
        .variable("HTTPS_PROXY", proxy.url())
        .variable("http_proxy", proxy.url())
        .variable("NO_PROXY", "localhost, 127.0.0.1");
    let both = builder
        .set("http_client.proxy", "")
        .set("http_client.no_proxy", "127.0.0.1")
        .variable("ALL_PROXY", proxy.url())
        .variable("NO_PROXY", "elsewhere.test");
    let notices = [
        "http:// and https:// URLs go through the proxy of http_client.proxy, except to hosts in http_client.no_proxy",
        "http:// and https:// URLs go through the proxy of HTTPS_PROXY, HTTP_PROXY, except to hosts in http_client.no_proxy or NO_PROXY",
        "http:// and https:// URLs go through the proxy of ALL_PROXY, except to hosts in http_client.no_proxy or NO_PROXY",
    ];
    for (before, (builder, notice)) in [set, environment, both].into_iter().zip(notices).enumerate() {
        let gateway = GatewayProcess::start(&builder, &weixin.wechat).await;
        let notice = format!("connections to {notice}");
        assert_eq!(gateway.logged(&notice).len(), 1);
        let checked = builder.run(&weixin.wechat, &["check"]).await;
        assert!(checked.out.contains(&notice), "{checked:?}");
        assert_all_works(&gateway).await;
        assert_eq!(service.headers().len(), before + 1);
        assert_no_password(&gateway.log().join("\n"));
    }
    assert!(proxy.asked().iter().all(|asked| asked == "CONNECT api.weixin.test:443"));
}

#[tokio::test]
async fn no_proxy_of_the_environment_counts_only_with_its_proxy() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let name = wechat.address.to_string();
    let proxy = ForwardProxy::start(&[(&name, wechat.address)]).await;
    for (proxy_setting, exceptions, notice, asked) in [
        ("none".to_owned(), "127.0.0.1", "", false),
        (
            String::new(),
            "127.0.0.1",
            "connections to http:// URLs go through",
            false,
        ),
        (String::new(), "*", "", false),
        (
            String::new(),
            name.as_str(),
            "connections to http:// URLs go through",
            false,
        ),
        (
            proxy.url(),
            "127.0.0.1",
            "connections to http:// and https:// URLs go through",
            true,
        ),
    ] {
        let builder = patient()
            .variable("NO_PROXY", exceptions)
            .variable("HTTP_PROXY", "")
            .variable("http_proxy", proxy.url())
            .set("http_client.proxy", proxy_setting);
        let check = builder.run(&wechat, &["check"]).await;
        assert_eq!(check.code, 0, "{check:?}");
        assert_eq!(check.out.contains("URLs go through"), !notice.is_empty(), "{check:?}");
        assert!(check.out.contains(notice), "{check:?}");
        assert_eq!(!proxy.asked().is_empty(), asked, "{exceptions}");
    }
}

#[tokio::test]
async fn proxy_of_the_environment_that_can_not_be_used_is_refused() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    for (name, url) in [
        ("HTTP_PROXY", "http://u:hunter2 x@h:1:::"),
        // A scheme that GNOME writes, and a typo. With either, the HTTP client itself would connect directly.
        ("ALL_PROXY", "socks://u:hunter2@127.0.0.1:1080"),
        ("HTTPS_PROXY", "htpp://u:hunter2@127.0.0.1:3128"),
        ("HTTPS_PROXY", "http://u:hunter2@127.0.0.1:99999"),
    ] {
        let builder = patient().variable(name, url).set("http_client.proxy", "");
        for command in ["serve", "check", "config"] {
            let ran = builder.run(&wechat, &[command]).await;
            let problem = format!("http_client.proxy: {name} in the environment");
            assert!(ran.code == 2 && ran.err.contains(&problem), "{ran:?}");
            assert_eq!(ran.out.is_empty(), command != "config", "{ran:?}");
            assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
        }
        let report = builder.run(&wechat, &["check", "--json"]).await.json();
        assert_eq!(report["findings"][0]["check"], "settings", "{report}");
    }
}

#[tokio::test]
async fn answer_407_of_wechat_is_wechats() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    gateway.until_ready().await;
    wechat.sandbox.inject(Fault::status(407).on(Api::MediaGet));
    let photo = wechat.takes_photo(TINY_PHOTO);
    let answer = gateway.upload(&photo).await;
    assert_eq!((answer.status, &answer.body["code"]), (502, &2002.into()));
}

#[tokio::test]
async fn s3_is_reached_through_the_proxy_and_by_the_authority() {
    let s3 = S3Server::start().await;
    let tls = Tls::new();
    let front = tls.before(s3.address, Certificate::Good).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let proxy = ForwardProxy::start(&[("s3.test:443", front.address)]).await;
    let builder = S3Server::used_at("https://s3.test")
        .set("http_client.proxy", proxy.url())
        .set("http_client.no_proxy", "127.0.0.1")
        .set("http_client.ca_file", tls.authority().display());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    let stored = gateway.upload_new_photo().await;
    assert_eq!(stored.code(), (200, 0), "{stored:?}");
    assert_eq!(std::fs::read_dir(s3.bucket()).unwrap().count(), 1);
    assert!(!proxy.asked().is_empty());
    assert!(proxy.asked().iter().all(|asked| asked == "CONNECT s3.test:443"));
}

/// The line of `wxgate check` that reports WeChat as failed.
fn failed_wechat_line(check: &Ran) -> &str {
    assert_eq!(check.code, 1, "{check:?}");
    check
        .out
        .lines()
        .find(|line| line.starts_with("FAILED   wechat"))
        .unwrap()
}

#[tokio::test]
async fn certificate_that_is_not_accepted_is_explained() {
    for (certificate, trusted, words) in [
        (
            Certificate::Good,
            false,
            "certificate is not trusted: its CA is not among the system's; put that CA's certificate into http_client.ca_file",
        ),
        (Certificate::Expired, true, "certificate has expired"),
        (Certificate::OfAnotherName, true, "certificate is for another name"),
    ] {
        let weixin = TlsWeChat::start(certificate).await;
        let builder = if trusted { weixin.trusted() } else { patient() };
        let builder = builder.set("wechat.api_base_url", weixin.front.url());
        let check = builder.run(&weixin.wechat, &["check"]).await;
        let output = failed_wechat_line(&check);
        assert!(output.contains(words), "{words} is not in {output}");
    }
}

#[tokio::test]
async fn wechat_and_redis_of_a_private_authority_are_reached() {
    let weixin = TlsWeChat::start(Certificate::Good).await;
    let redis = RedisServer::start_with_tls(&weixin.tls, &[]).await;
    let builder = weixin
        .trusted()
        .redis(&redis)
        .set("wechat.api_base_url", weixin.front.url());
    let gateway = GatewayProcess::start(&builder, &weixin.wechat).await;
    assert_all_works(&gateway).await;
    until("the gateway is ready", || async {
        gateway.get("/readyz").await.body["status"] == "ready"
    })
    .await;
    let check = builder.run(&weixin.wechat, &["check"]).await;
    assert_eq!(check.code, 0, "{check:?}");
}

/// A listener whose queue is full: connection attempts get no answer.
async fn silent(ip: [u8; 4], port: u16) -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, port))).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let connecting = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(std::time::Duration::from_millis(200), connecting).await {
            Ok(connected) => waiting.push(connected.unwrap()),
            Err(_) => return (listener, waiting),
        }
    }
}

#[tokio::test]
async fn host_with_a_silent_address_is_reached_within_the_connect_timeout() {
    use std::time::{Duration, Instant};
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let port = wechat.address.port();
    let _silent = silent([127, 0, 0, 2], port).await;
    let addresses = [[127, 0, 0, 2], [127, 0, 0, 1]].map(|ip| SocketAddr::from((ip, port)));
    let settings = wxgate::settings::HttpClient {
        proxy: wxgate::settings::values::HttpProxy::Never,
        ..Default::default()
    };
    let limit = Duration::from_secs(4);
    let client = wxgate::http_client::build_with(&settings, limit, |client| {
        client.resolve_to_addrs("api.weixin.test", &addresses)
    });
    let request = client
        .unwrap()
        .get(format!("http://api.weixin.test:{port}/cgi-bin/get_api_domain_ip"));
    let started = Instant::now();
    let answer = wxgate::http_client::send(request, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
}
