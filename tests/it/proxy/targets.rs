//! Requests in absolute form, as programs send them that take the gateway for a forward proxy.

use wxgate::sandbox::Api;

use super::sends;
use crate::support::Gateway;

#[tokio::test]
async fn targets_on_other_hosts_are_refused() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let wechat = gateway.wechat.address;
    let account = gateway.wechat.account();
    let credentials = format!(
        "grant_type=client_credential&appid={}&secret={}",
        account.app_id,
        account.secret.expose()
    );
    let other_port = gateway.internal.port() ^ 1;
    for host in [
        "example.com".to_owned(),
        "qyapi.weixin.qq.com".to_owned(),
        format!("127.0.0.1:{other_port}"),
        format!("127.0.0.2:{}", gateway.internal.port()),
        format!("{wechat}@example.com"),
        format!("localhost.example.com:{}", gateway.internal.port()),
    ] {
        for path in [
            format!("/cgi-bin/getcallbackip?access_token={token}"),
            format!("/cgi-bin/token?{credentials}"),
            format!("/cgi-bin/ticket/getticket?type=jsapi&access_token={token}"),
        ] {
            let answer = sends(gateway.internal, &format!("GET http://{host}{path}")).await;
            assert_eq!(answer.status, 404, "{host}: {answer:?}");
            assert!(answer.body.contains("\"errcode\":40066"), "{host}: {answer:?}");
            assert!(!answer.body.contains(&token), "{host}: {answer:?}");
        }
        for path in ["/metrics", "/console", "/readyz"] {
            let answer = sends(gateway.internal, &format!("GET http://{host}{path}")).await;
            assert_eq!(answer.status, 404, "{host}{path}: {answer:?}");
        }
    }
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetCallbackIp), 0);
}

#[tokio::test]
async fn targets_on_wechats_host_or_the_listeners_own_are_served() {
    let builder = Gateway::builder().set("internal.allowed_hosts", "wxgate.internal");
    let gateway = builder.start().await;
    let token = gateway.token().await;
    let port = gateway.internal.port();
    for host in [
        gateway.wechat.address.to_string(),
        gateway.internal.to_string(),
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("wxgate.internal:{port}"),
        // A client of https://api.weixin.qq.com may ask a proxy for the same host by http.
        "127.0.0.1".to_owned(),
    ] {
        let line = format!("GET http://{host}/cgi-bin/getcallbackip?access_token={token}");
        let answer = sends(gateway.internal, &line).await;
        assert!(answer.body.contains("ip_list"), "{host}: {answer:?}");
        let answer = sends(gateway.internal, &format!("GET http://{host}/metrics")).await;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn tunnels_are_refused() {
    let gateway = Gateway::start().await;
    for target in ["api.weixin.qq.com:443".to_owned(), gateway.internal.to_string()] {
        let answer = sends(gateway.internal, &format!("CONNECT {target}")).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.body.contains("\"errcode\":40066"), "{answer:?}");
        assert!(answer.body.contains("does not support CONNECT"), "{answer:?}");
    }
}
