//! The metrics of a gateway that has served some of every kind of request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, GatewayProcess, RedisServer, SandboxHost, TINY_PHOTO, until};

/// The metrics, each with its labels and their values.
pub(super) type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The key with which pages upload.
const PAGES_KEY: &str = "a-key-of-pages-0123456789";

/// Causes some of every kind of event, and reads the metrics.
pub(super) async fn exposed() -> Exposed {
    let (redis, wechat) = (
        RedisServer::start().await,
        SandboxHost::start(SandboxConfig::default()).await,
    );
    wechat.sandbox.inject(Fault::errcode(-1).on(Api::StableToken).once());
    let builder = Gateway::builder().wechat(&wechat).redis(&redis);
    let unknown = "wx00000000000000b2";
    let gateway = builder
        .set("internal.proxy_buffer", "64KiB")
        .set("auth.mode", "api_key")
        .set("auth.api_keys", PAGES_KEY)
        .set("accounts.1.app_id", unknown)
        .set("accounts.1.app_secret", "abcdef0123456789abcdef0123456789")
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret", "a-secret-of-its-own-0123456789")
        .start()
        .await;
    gateway.until_ready().await;
    gateway.assert_signs().await;
    let upload = async |photo: &str| {
        let request = gateway.request("POST", "/p/active/weChatOa/upload");
        let request = request.header("X-Api-Key", PAGES_KEY);
        gateway.send(request.json(&json!({ "mediaId": photo }))).await.status
    };
    let photo = wechat.takes_photo(TINY_PHOTO);
    assert_eq!(gateway.upload(&photo).await.status, 401);
    assert_eq!(upload(&photo).await, 200);
    // Both calls for it fail.
    wechat.sandbox.inject(Fault::errcode(-1).on(Api::MediaGet).times(2));
    let photo = wechat.takes_photo(TINY_PHOTO);
    assert_eq!(upload(&photo).await, 502);
    gateway.asks_for_token(wechat.account().app_id.as_str(), "wrong").await;
    let answer = gateway
        .asks_for_token(unknown, "abcdef0123456789abcdef0123456789")
        .await;
    assert!(answer.body["errcode"].is_i64(), "{answer:?}");
    let called = gateway.internal_request("GET", "/cgi-bin/getcallbackip");
    let called = gateway.send(called.bearer_auth("a-secret-of-its-own-0123456789")).await;
    assert_eq!(called.status, 200, "{called:?}");
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![1; 70_000])]);
    let long = gateway.internal_request("POST", "/cgi-bin/menu/create");
    let long = long.body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(gateway.send(long).await.status, 503);
    until("all is counted", || async {
        gateway.metric("wxgate_uploads_total{outcome=\"wechat_error\"}").await > 0.5
    })
    .await;
    let text = gateway.internal_get("/metrics").await;
    parse(text.body.as_str().unwrap())
}

fn parse(text: &str) -> Exposed {
    let mut exposed = Exposed::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let metric = exposed.entry(name.to_owned()).or_default();
        for label in labels
            .trim_end_matches('}')
            .split("\",")
            .filter(|label| !label.is_empty())
        {
            let (label, value) = label.split_once("=\"").unwrap();
            let values = metric.entry(label.to_owned()).or_default();
            values.insert(value.trim_end_matches('"').to_owned());
        }
    }
    exposed
}

/// The metrics that operators are promised.
const PROMISED: [(&str, &[&str]); 18] = [
    ("wxgate_http_requests_total", &["route", "method", "status"]),
    ("wxgate_http_request_duration_seconds_bucket", &["route", "le"]),
    ("wxgate_wechat_requests_total", &["api", "outcome"]),
    ("wxgate_wechat_request_duration_seconds_bucket", &["api", "le"]),
    (
        "wxgate_credential_refreshes_total",
        &["app_id", "kind", "trigger", "outcome"],
    ),
    ("wxgate_credential_expiry_timestamp_seconds", &["app_id", "kind"]),
    ("wxgate_credential_foreign_invalidations_total", &["app_id"]),
    ("wxgate_token_calls_today", &["app_id"]),
    ("wxgate_uploads_total", &["outcome"]),
    ("wxgate_upload_bytes_total", &[]),
    ("wxgate_uploads_in_flight", &[]),
    ("wxgate_redis_up", &[]),
    ("wxgate_build_info", &["version"]),
    ("process_resident_memory_bytes", &[]),
    ("process_cpu_seconds_total", &[]),
    ("process_open_fds", &[]),
    ("process_max_fds", &[]),
    ("process_start_time_seconds", &[]),
];

#[tokio::test]
async fn redis_metric_is_absent_without_redis() {
    let gateway = Gateway::start().await;
    let text = gateway.internal_get("/metrics").await;
    let text = text.body.as_str().unwrap();
    assert!(
        text.contains("wxgate_build_info") && !text.contains("wxgate_redis_up"),
        "{text}"
    );
}

#[tokio::test]
async fn process_metrics_are_those_of_the_process_and_internal_alone() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = GatewayProcess::start(&Gateway::builder(), &wechat).await;
    process.until_ready().await;
    let before = process.memory("VmRSS:");
    let resident = process.metric("process_resident_memory_bytes").await / 1024.0;
    let ratio = resident / f64::from(u32::try_from(before).unwrap());
    assert!((0.5..2.0).contains(&ratio), "{resident} KiB, VmRSS {before} KiB");
    let (open, most) = (
        process.metric("process_open_fds").await,
        process.metric("process_max_fds").await,
    );
    assert!(open >= 8.0 && open < most, "{open} of {most}");
    let started = process.metric("process_start_time_seconds").await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!((0.0..600.0).contains(&(now.as_secs_f64() - started)), "{started}");
    assert_eq!(process.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn every_promised_metric_is_exposed_with_its_labels() {
    let exposed = exposed().await;
    for (name, labels) in PROMISED {
        let metric = exposed.get(name).unwrap_or_else(|| panic!("{name} is not exposed"));
        let labels: BTreeSet<&str> = labels.iter().copied().collect();
        assert_eq!(
            metric.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            labels,
            "{name}"
        );
    }
    let version = &exposed["wxgate_build_info"]["version"];
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    let kinds = &exposed["wxgate_credential_expiry_timestamp_seconds"]["kind"];
    assert_eq!(kinds.iter().collect::<Vec<_>>(), ["access_token", "jsapi_ticket"]);
    // The buckets cover a signature (well under a millisecond) and the longest request (thirty seconds).
    for (name, least, most) in [
        ("wxgate_http_request_duration_seconds_bucket", 0.0005, 30.0),
        ("wxgate_wechat_request_duration_seconds_bucket", 0.01, 5.0),
    ] {
        let buckets = &exposed[name]["le"];
        let bounds: Vec<f64> = buckets.iter().filter_map(|bound| bound.parse().ok()).collect();
        assert!(bounds.iter().any(|bound| *bound <= least), "{name}: {bounds:?}");
        assert!(
            bounds.iter().any(|bound| bound.is_finite() && *bound >= most),
            "{name}: {bounds:?}"
        );
    }
}
