//! The `Host` header, and methods that are refused.

use std::net::SocketAddr;

use futures_util::future::join_all;

use crate::support::{Gateway, Raw, encode_uri_component};

async fn status(address: SocketAddr, head: &str) -> u16 {
    let mut client = Raw::connect(address).await;
    client.send(format!("{head}\r\n")).await;
    client.answer().await.status
}

#[tokio::test]
async fn missing_or_repeated_host_is_refused() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sign = "/wechat/jsSDK?url=https%3A%2F%2Fa.cn";
    for path in ["/healthz", "/docs/", "/nope", sign] {
        for head in ["", "host: a\r\nhost: a\r\n", "host: a\r\nHOST: evil.cn\r\n"] {
            let mut client = Raw::connect(gateway.address).await;
            client.send(format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await;
            client.answer().await.assert_failure(400, 1001);
        }
    }
    for path in ["/healthz", "/console", "/cgi-bin/token", "/cgi-bin/getcallbackip"] {
        for head in ["", "host: a\r\nhost: a\r\n"] {
            let head = format!("GET {path} HTTP/1.1\r\n{head}");
            assert_eq!(status(gateway.internal, &head).await, 400, "{head}");
        }
    }
    for address in [gateway.address, gateway.internal] {
        // An empty `Host` counts, and HTTP/1.0 needs none.
        assert_eq!(status(address, "GET /healthz HTTP/1.1\r\nhost:\r\n").await, 200);
        assert_eq!(status(address, "GET /healthz HTTP/1.0\r\n").await, 200);
        let two = "GET /healthz HTTP/1.0\r\nhost: a\r\nhost: b\r\n";
        assert_eq!(status(address, two).await, 400);
    }
}

#[tokio::test]
async fn trace_is_refused_on_both_listeners() {
    let gateway = Gateway::start().await;
    let secret = "cookie: session=of-a-user\r\n";
    for (address, paths) in [
        (gateway.address, ["/healthz", "/wechat/jsSDK", "/nope", "/docs/"]),
        (
            gateway.internal,
            ["/healthz", "/cgi-bin/token", "/cgi-bin/any", "/console"],
        ),
    ] {
        for path in paths {
            let mut client = Raw::connect(address).await;
            client
                .send(format!("TRACE {path} HTTP/1.1\r\nhost: a\r\n{secret}\r\n"))
                .await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 405, "{path}: {answer:?}");
            assert!(!answer.body.contains("of-a-user"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn console_answers_only_to_allowed_hosts() {
    let gateway = Gateway::builder()
        .set("internal.allowed_hosts", "Wxgate.example.com,*.ops.example.com")
        .set("internal.base_path", "/gate")
        .start()
        .await;
    let asked = async |host: &str, path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n");
        status(gateway.internal, &head).await
    };
    for host in [
        "127.0.0.1",
        "10.0.0.7:9090",
        "[::1]:9090",
        "[fd00::1]",
        "localhost",
        "LOCALHOST:9090",
        "wxgate.example.com",
        "WXGATE.example.com:443",
        "wxgate.example.com.",
        "a.ops.example.com",
        "a.b.ops.example.com",
    ] {
        assert_eq!(asked(host, "/console").await, 200, "{host}");
    }
    for host in [
        "evil.cn",
        "evil.cn:9090",
        "x.wxgate.example.com",
        "ops.example.com",
        ".ops.example.com",
        "evilops.example.com",
        "wxgate.example.com.evil.cn",
        "localhost.evil.cn",
        "127.0.0.1.evil.cn",
        "127.0.0.1@evil.cn",
        "",
    ] {
        for path in ["/console", "/console/explain", "/console/console.js", "/gate/console"] {
            assert_eq!(asked(host, path).await, 403, "{host}{path}");
        }
        // Clients of the token, Prometheus and probes may use any name.
        assert_eq!(asked(host, "/metrics").await, 200, "{host}");
    }
    assert_eq!(status(gateway.internal, "GET /console HTTP/1.0\r\n").await, 403);
    // Without the setting, any name is accepted.
    let gateway = Gateway::start().await;
    let head = "GET /console HTTP/1.1\r\nhost: wxgate.corp\r\n";
    assert_eq!(status(gateway.internal, head).await, 200);
}

#[tokio::test]
async fn explain_refuses_more_than_a_few_at_once() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let page = format!("https://a.cn/{}", "%E4%B8%AD/".repeat(20));
    let form = format!(
        "url={}&nonce=n&timestamp=1414587457&signature={}",
        encode_uri_component(&page),
        "0".repeat(40)
    );
    let explain = || {
        let request = gateway.internal_request("POST", "/console/explain");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        gateway.send(request.body(form.clone()))
    };
    let answers = join_all((0..40).map(|_| explain())).await;
    let with = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!(with(200) + with(503), 40);
    assert!(with(200) >= 4 && with(503) >= 1, "{} of 40 were looked into", with(200));
    let refused = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert!(refused.retry_after() >= 1, "{refused:?}");
    assert!(
        refused.body.as_str().unwrap().contains("Too many signatures"),
        "{refused:?}"
    );
    assert_eq!(explain().await.status, 200, "afterwards requests are accepted again");
}
