//! Rate limits count by client, however many proxies are between and whatever the client claims.

use crate::support::{Answer, Gateway, GatewayBuilder};

fn limited() -> GatewayBuilder {
    Gateway::builder()
        .set("rate_limit.jssdk_per_second", 1)
        .set("rate_limit.jssdk_burst", 2)
}

async fn sign(gateway: &Gateway, forwarded: &[&str]) -> Answer {
    let mut request = gateway.request("GET", "/wechat/jsSDK?url=https%3A%2F%2Fa.cn");
    for list in forwarded {
        request = request.header("x-forwarded-for", *list);
    }
    gateway.send(request).await
}

/// How many of ten requests at once, each with its `forwarded`, get through.
async fn let_through(gateway: &Gateway, forwarded: impl Fn(usize) -> Vec<String>) -> usize {
    let answers = (0..10).map(|number| {
        let lists = forwarded(number);
        async move {
            let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
            sign(gateway, &lists).await
        }
    });
    let answers = futures_util::future::join_all(answers).await;
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_envelope();
        assert_eq!((refused.code(), refused.retry_after()), ((429, 1006), 1), "{refused:?}");
    }
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// Asserts that such requests count as one client's, also on a slow machine.
async fn assert_one_client(gateway: &Gateway, forwarded: impl Fn(usize) -> Vec<String>) {
    let start = tokio::time::Instant::now();
    let passed = let_through(gateway, forwarded).await;
    let earned = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert!((2..=2 + earned).contains(&passed), "{passed}");
}

#[tokio::test]
async fn forwarded_for_from_untrusted_peers_is_ignored() {
    let gateway = limited().start().await;
    gateway.until_ready().await;
    assert_one_client(&gateway, |number| vec![format!("203.0.113.{number}")]).await;
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_their_own_rate_limits() {
    let gateway = limited()
        .set("server.trusted_proxies", "127.0.0.0/8,10.0.0.0/8")
        .start()
        .await;
    gateway.until_ready().await;
    // As many clients as requests.
    assert_eq!(let_through(&gateway, |n| vec![format!("198.51.100.{n}")]).await, 10);
    assert_eq!(let_through(&gateway, |n| vec![format!("2001:db8:{n}::1")]).await, 10);
    // One client, whatever it writes before the proxy's own entry.
    let lists: [&[&str]; 6] = [
        &["{n}.1.1.1, 192.0.2.1"],
        &["{n}.1.1.1", "192.0.2.2, 10.0.0.7"],
        &["{n}.1.1.1, nonsense, 192.0.2.3:100{n}"],
        &["::ffff:192.0.2.4"],
        &["2001:db8:ffff::{n}"],
        &["[2001:db8:fffe::{n}:1]:443"],
    ];
    for lists in lists {
        assert_one_client(&gateway, |number| {
            lists
                .iter()
                .map(|list| list.replace("{n}", &number.to_string()))
                .collect()
        })
        .await;
    }
}

#[tokio::test]
async fn retry_after_the_announced_time_succeeds() {
    let gateway = limited().start().await;
    gateway.until_ready().await;
    let mut refused = sign(&gateway, &[]).await;
    while refused.status == 200 {
        refused = sign(&gateway, &[]).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(refused.retry_after())).await;
    assert_eq!(sign(&gateway, &[]).await.status, 200);
}
