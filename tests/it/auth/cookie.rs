//! A token in a cookie. Browsers send cookies with requests of any page, so only requests of the company's pages count.

use jsonwebtoken::Algorithm;

use super::{Issuer, assert_refused, claims, passes, upload};
use crate::support::{Gateway, GatewayBuilder};

const COOKIE: &str = "sso_token";
const PAGE: &str = "https://h5.example.com";

fn builder(issuer: &Issuer) -> GatewayBuilder {
    issuer.builder().set("auth.jwt_cookie", COOKIE)
}

/// A request of a page of `origin` that has `cookie`.
fn of_page(gateway: &Gateway, origin: &str, cookie: &str) -> reqwest::RequestBuilder {
    upload(gateway).header("origin", origin).header("cookie", cookie)
}

#[tokio::test]
async fn cookie_counts_for_allowed_origins_and_the_requests_own_host() {
    let issuer = Issuer::new(Algorithm::HS256);
    let gateway = builder(&issuer).set("server.cors_allowed_origins", PAGE).start().await;
    let good = format!("{COOKIE}={}", issuer.sign(&claims()));
    let own = format!("http://{}", gateway.address);
    for origin in [PAGE, &own, &own.replace("http:", "https:")] {
        assert!(passes(&gateway, of_page(&gateway, origin, &good)).await, "{origin}");
    }
    let among_others = format!("a=b; {good}; c=d");
    assert!(passes(&gateway, of_page(&gateway, PAGE, &among_others)).await);
    // A proxy in front ends TLS and hands on the name that the browser knows.
    let behind_proxy = |origin: &str, host: &str| of_page(&gateway, origin, &good).header("host", host);
    for (origin, host) in [
        ("https://www.example.com", "www.example.com"),
        ("https://www.example.com", "www.example.com:443"),
        ("https://www.example.com", "WWW.example.com"),
        ("http://[::1]:8080", "[::1]:8080"),
    ] {
        assert!(passes(&gateway, behind_proxy(origin, host)).await, "{origin} {host}");
    }
    for (origin, host) in [
        ("https://www.example.com", "example.com"),
        ("https://www.example.com", "www.example.com:8443"),
        ("https://evil.cn", "www.example.com@evil.cn"),
        ("https://evil.cn", "evil.cn/.www.example.com?"),
        ("null", "null"),
        ("", ""),
        ("file://", ""),
        ("data:text/html,x", "x"),
    ] {
        assert!(!passes(&gateway, behind_proxy(origin, host)).await, "{origin} {host}");
    }
    let other_port = format!("http://127.0.0.1:{}", gateway.address.port().wrapping_add(1).max(1));
    for origin in [
        "https://evil.cn",
        "https://h5.example.com.evil.cn",
        "http://h5.example.com",
        "https://h5.example.com:8443",
        "http://127.0.0.1",
        &other_port,
        "null",
        "",
    ] {
        assert!(!passes(&gateway, of_page(&gateway, origin, &good)).await, "{origin}");
    }
    let without_origin = upload(&gateway).header("cookie", &good);
    assert!(!passes(&gateway, without_origin).await, "no Origin");
    let two_origins = of_page(&gateway, "https://evil.cn", &good).header("origin", PAGE);
    assert!(!passes(&gateway, two_origins).await, "two Origins");
}

#[tokio::test]
async fn cookie_is_ambiguous_if_sent_twice_and_ignored_beside_a_bearer_token() {
    let issuer = Issuer::new(Algorithm::HS256);
    let stranger = Issuer::new_stranger(Algorithm::HS256);
    let gateway = builder(&issuer).set("server.cors_allowed_origins", PAGE).start().await;
    let (good, bad) = (issuer.sign(&claims()), stranger.sign(&claims()));
    for (what, cookie) in [
        ("twice", format!("{COOKIE}={bad}; {COOKIE}={good}")),
        ("another's", format!("{COOKIE}={bad}")),
        ("another name", format!("SSO_TOKEN={good}")),
        ("a longer name", format!("x{COOKIE}={good}")),
        ("empty", format!("{COOKIE}=")),
        ("no value", COOKIE.to_owned()),
    ] {
        let answer = gateway.send(of_page(&gateway, PAGE, &cookie)).await;
        assert_refused(&answer);
        assert!(!answer.body.to_string().contains(&good), "{what}");
    }
    let both = |cookie: &str, bearer: &str| of_page(&gateway, PAGE, &format!("{COOKIE}={cookie}")).bearer_auth(bearer);
    assert!(passes(&gateway, both(&bad, &good)).await);
    assert!(!passes(&gateway, both(&good, &bad)).await);
    // Another scheme of `Authorization` is not for the gateway; it may be for a proxy.
    let basic = of_page(&gateway, PAGE, &format!("{COOKIE}={good}")).header("authorization", "Basic eDp5");
    assert!(passes(&gateway, basic).await);
}

#[tokio::test]
async fn cookie_is_ignored_unless_configured() {
    let issuer = Issuer::new(Algorithm::HS256);
    let gateway = issuer.builder().set("server.cors_allowed_origins", PAGE).start().await;
    let cookie = format!("{COOKIE}={}", issuer.sign(&claims()));
    assert!(!passes(&gateway, of_page(&gateway, PAGE, &cookie)).await);
}
