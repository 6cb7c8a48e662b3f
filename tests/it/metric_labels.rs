//! The labels of routes in the metrics.

use crate::support::Gateway;

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
    let counted = gateway.internal_get("/metrics").await;
    let counted = counted.body.as_str().unwrap();
    assert!(counted.contains("route=\"other\"") && counted.contains("route=\"pass-through\""));
    assert!(!counted.contains("unknown"), "{counted}");
}
