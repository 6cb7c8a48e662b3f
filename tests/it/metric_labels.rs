//! The labels of routes in the metrics.

use wxgate::sandbox::SandboxConfig;

use crate::support::{Gateway, GatewayProcess, Raw, SOON, SandboxHost, until};

#[tokio::test]
async fn sandbox_and_pictures_under_another_path_have_labels_of_their_own() {
    let gateway = Gateway::builder()
        .demo_page()
        .set("image_store.local.public_base_url", "/pics/2026")
        .start()
        .await;
    for (path, status) in [
        ("/", 200),
        ("/sandbox/demo.js", 200),
        ("/pics/2026/none.jpg", 404),
        ("/docs/page.css", 200),
        ("/openapi.json", 200),
        ("/healthz", 200),
        ("/wechat/jsSDK", 400),
    ] {
        assert_eq!(gateway.get(path).await.status, status, "{path}");
    }
    let counted = gateway.internal_get("/metrics").await;
    let counted = counted.body.as_str().unwrap().to_owned();
    let requests = |route: &str, status: u16| {
        let series = format!("wxgate_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}} ");
        let line = counted.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    assert_eq!(requests("/sandbox", 200), 2, "{counted}");
    assert_eq!(requests("/images", 404), 1, "{counted}");
    assert_eq!(requests("/docs", 200), 2, "{counted}");
    assert_eq!(requests("/healthz", 200), 1, "{counted}");
    assert_eq!(requests("/wechat/jsSDK", 400), 1, "{counted}");
    assert!(!counted.contains("route=\"other\""), "{counted}");

    assert_eq!(gateway.get("/unknown/path").await.status, 404);
    gateway.internal_get("/cgi-bin/unknown").await;
    let renew = gateway.internal_request("POST", "/credentials/wxunknown/access_token/renew");
    gateway.send(renew).await;
    let counted = gateway.internal_get("/metrics").await;
    let counted = counted.body.as_str().unwrap();
    assert!(counted.contains("route=\"other\"") && counted.contains("route=\"pass-through\""));
    assert!(counted.contains("route=\"/credentials/{app_id}/access_token/renew\""));
    assert!(!counted.contains("unknown"), "{counted}");
}

#[tokio::test]
async fn malformed_requests_are_counted_and_logged_at_debug() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("telemetry.log_level", "debug");
    let process = GatewayProcess::start(&builder, &wechat).await;
    for address in [process.address, process.internal] {
        for query in ["q=\"in-the-query\"", "q=<in-the-query", "q=>in-the-query"] {
            let mut client = Raw::connect(address).await;
            client
                .send(format!("GET /cgi-bin/x?{query} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(client.refusal(SOON).await, Some(400), "{query}");
        }
        let mut client = Raw::connect(address).await;
        client
            .send(b"GET /cgi-bin/x?q=\xff\xfein-the-query HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        assert_eq!(client.refusal(SOON).await, Some(400));
        let mut client = Raw::connect(address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(60_000)))
            .await;
        assert_eq!(client.refusal(SOON).await, Some(431));
    }
    let count = async |status: u16| {
        let series = format!("wxgate_http_requests_total{{method=\"other\",route=\"malformed\",status=\"{status}\"}}");
        process.metric(&series).await
    };
    until("they are counted", || async {
        count(400).await >= 8.0 && count(431).await >= 2.0
    })
    .await;
    until("they are in the log", || async {
        process.logged("malformed").len() == 10
    })
    .await;
    assert!(process.logged("malformed").iter().all(|line| line.contains("DEBUG")));
    assert!(process.logged("in-the-query").is_empty());
}
