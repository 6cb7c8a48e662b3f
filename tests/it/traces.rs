//! Traces: what a collector gets, who is sent a trace context, and that a failing collector does no harm.

use serde_json::json;
use tokio::net::TcpListener;
use wxgate::sandbox::{Api, Fault, SandboxConfig, TokenKind};

use crate::support::{
    Answer, Caller, Collector, Gateway, GatewayProcess, ImageService, SandboxHost, TINY_PHOTO, attribute, until,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// A page that is part of a trace posts a serverId.
async fn upload_in_a_trace(gateway: &Caller, media_id: &str, trace: &str, flags: &str) -> Answer {
    let request = gateway
        .request("POST", "/p/active/weChatOa/upload")
        .header("traceparent", format!("00-{trace}-{CALLERS_SPAN}-{flags}"))
        .header("tracestate", "vendor=1")
        .header("baggage", "user=7")
        .json(&json!({ "mediaId": media_id }));
    gateway.send(request).await
}

/// Drains the gateway, which exports its last spans.
async fn end(gateway: &mut GatewayProcess) {
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

/// Asserts that no call to WeChat has had a trace context.
fn assert_wechat_knows_of_no_trace(wechat: &SandboxHost) {
    let calls = wechat.sandbox.log();
    assert!(!calls.is_empty());
    for call in calls {
        for name in ["traceparent", "tracestate", "baggage"] {
            assert!(!call.headers.contains_key(name), "{call:?}");
        }
    }
}

#[tokio::test]
async fn trace_context_goes_to_the_image_store_and_never_to_wechat() {
    let (collector, images) = (Collector::start().await, ImageService::start().await);
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .set("telemetry.otlp_endpoint", collector.url())
        .set("image_store.backend", "http")
        .set("image_store.http.url", images.url());
    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    let answer = upload_in_a_trace(&gateway, &wechat.takes_photo(TINY_PHOTO), TRACE, "01").await;
    assert_eq!(answer.code(), (200, 0), "{answer:?}");
    assert_eq!(gateway.sign("https://a.cn/p?q=private").await.status, 200);
    let passed = format!("/cgi-bin/getcallbackip?access_token={}", gateway.good_token());
    let passed = gateway.internal_request("GET", &passed);
    let passed = passed.header("traceparent", format!("00-{TRACE}-{CALLERS_SPAN}-01"));
    assert_eq!(gateway.send(passed.header("baggage", "user=7")).await.status, 200);
    end(&mut gateway).await;

    let request = collector.span("POST /p/active/weChatOa/upload", Some(TRACE)).await;
    assert_eq!(hex::encode(&request.parent_span_id), CALLERS_SPAN);
    assert_eq!(request.trace_state, "vendor=1");
    assert_eq!(attribute(&request, "http.response.status_code"), "200");
    assert_eq!(attribute(&request, "http.route"), "/p/active/weChatOa/upload");
    // The answer has the request's own id, not the trace's.
    assert_eq!(attribute(&request, "wxgate.request_id"), answer.header("x-request-id"));
    assert_ne!(answer.header("x-request-id"), TRACE);
    let download = collector.span("wechat media_get", Some(TRACE)).await;
    let put = collector.span("image_store put", Some(TRACE)).await;
    for call in [&download, &put] {
        assert_eq!(call.parent_span_id, request.span_id, "{call:?}");
    }
    collector.span("wechat pass_through", Some(TRACE)).await;
    collector.span("GET /wechat/jsSDK", None).await;

    let seen = images.headers();
    assert_eq!(
        seen[0]["traceparent"],
        format!("00-{TRACE}-{}-01", hex::encode(&put.span_id))
    );
    assert_eq!(seen[0]["tracestate"], "vendor=1");
    assert_wechat_knows_of_no_trace(&wechat);

    // A renewal is a trace of its own, with the call that it makes.
    let renewal = collector.span("renew access_token", None).await;
    let token_call = collector.span("wechat stable_token", None).await;
    assert_eq!(token_call.trace_id, renewal.trace_id);
    assert_eq!(token_call.parent_span_id, renewal.span_id);
    assert_eq!(attribute(&renewal, "wxgate.trigger"), "missing");
    assert_eq!(attribute(&renewal, "wxgate.app_id"), wechat.account().app_id.as_str());

    let (app_id, everything) = (wechat.account().app_id, collector.everything());
    let token = wechat.sandbox.current_token(&app_id, TokenKind::Stable).unwrap();
    let ticket = wechat.sandbox.current_ticket(&app_id).unwrap();
    let secret = wechat.account().secret;
    for secret in [
        token.expose(),
        ticket.expose(),
        secret.expose(),
        "access_token=",
        "private",
    ] {
        assert!(!everything.contains(secret), "{secret} was exported");
    }
}

#[tokio::test]
async fn failed_spans_are_marked_and_unsampled_traces_are_not_exported() {
    let collector = Collector::start().await;
    let builder = Gateway::builder().set("telemetry.otlp_endpoint", format!("{}/", collector.url()));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    let unsampled = "1af7651916cd43dd8448eb211c80319c";
    let photo = gateway.wechat.takes_photo(TINY_PHOTO);
    assert_eq!(upload_in_a_trace(&gateway, &photo, unsampled, "00").await.status, 200);
    gateway.wechat.sandbox.inject(Fault::errcode(-1).on(Api::MediaGet));
    let photo = gateway.wechat.takes_photo(TINY_PHOTO);
    assert_eq!(upload_in_a_trace(&gateway, &photo, TRACE, "01").await.status, 502);
    end(&mut gateway).await;

    for name in ["wechat media_get", "POST /p/active/weChatOa/upload"] {
        let span = collector.span(name, Some(TRACE)).await;
        let failed = opentelemetry_proto::tonic::trace::v1::status::StatusCode::Error;
        assert_eq!(span.status.unwrap().code(), failed, "{name}");
    }
    for span in collector.spans() {
        assert_ne!(hex::encode(&span.trace_id), unsampled, "{}", span.name);
        // Probes are too frequent to be traced.
        assert!(!span.name.contains("/readyz"), "{}", span.name);
    }
}

#[tokio::test]
async fn no_trace_is_exported_without_an_endpoint() {
    let images = ImageService::start().await;
    let gateway = Gateway::builder()
        .set("image_store.backend", "http")
        .set("image_store.http.url", images.url())
        .start()
        .await;
    let photo = gateway.wechat.takes_photo(TINY_PHOTO);
    assert_eq!(upload_in_a_trace(&gateway, &photo, TRACE, "01").await.status, 200);
    assert!(!images.headers()[0].contains_key("traceparent"));
    assert_wechat_knows_of_no_trace(&gateway.wechat);
}

#[tokio::test]
async fn refusing_collector_is_logged_once() {
    let (collector, wechat) = (
        Collector::start().await,
        SandboxHost::start(SandboxConfig::default()).await,
    );
    collector.refuse(true);
    let builder = Gateway::builder().set("telemetry.otlp_endpoint", collector.url());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    // Each is sent up to four times.
    until("three batches are refused", || async {
        gateway.assert_signs().await;
        collector.messages() >= 12 && !gateway.logged("traces are dropped").is_empty()
    })
    .await;
    collector.refuse(false);
    until("the recovery is logged", || async {
        gateway.assert_signs().await;
        gateway.logged("traces are exported again").len() == 1
    })
    .await;
    let logged = gateway.logged("traces are dropped");
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(
        logged[0].contains("503") && logged[0].contains("telemetry.otlp_endpoint"),
        "{logged:?}"
    );
}

/// The kernel accepts the connections, but nothing answers.
#[tokio::test]
async fn silent_collector_delays_neither_requests_nor_the_drain() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("telemetry.otlp_endpoint", endpoint);
    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    gateway.assert_signs().await;
    end(&mut gateway).await;
    until("the lost traces are logged", || async {
        gateway.logged("could not be exported in time").len() == 1
    })
    .await;
}

#[tokio::test]
async fn headers_and_compression_are_taken_from_the_standard_variables() {
    let collector = Collector::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        // The path may be named.
        .set("telemetry.otlp_endpoint", format!("{}/otlp/v1/traces", collector.url()))
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hunter2,x-scope=a%20b")
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        // Neither of these changes the endpoint in the settings.
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        // The SDK would panic.
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "0");
    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.assert_signs().await;
    end(&mut gateway).await;
    collector.span("GET /wechat/jsSDK", None).await;
    let headers = collector.headers();
    assert_eq!(headers["x-api-key"], "hunter2");
    assert_eq!(headers["x-scope"], "a b");
    assert_eq!(headers["content-encoding"], "gzip");
    assert!(gateway.logged("hunter2").is_empty());
}

#[tokio::test]
async fn log_level_and_traces_are_independent() {
    let collector = Collector::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let silent = Gateway::builder()
        .set("telemetry.otlp_endpoint", format!("{}/otlp", collector.url()))
        .set("telemetry.log_level", "info,wxgate::api=off,wxgate::traces=off");
    let mut gateway = GatewayProcess::start(&silent, &wechat).await;
    gateway.assert_signs().await;
    end(&mut gateway).await;
    collector.span("GET /wechat/jsSDK", None).await;

    let builder = Gateway::builder().set("telemetry.log_level", "trace");
    let traced = Gateway::builder()
        .set("telemetry.log_level", "trace")
        .set("telemetry.otlp_endpoint", collector.url());
    let mut lines = Vec::new();
    for builder in [builder, traced] {
        let mut gateway = GatewayProcess::start(&builder, &wechat).await;
        gateway.until_ready().await;
        let refused = gateway.get("/wechat/jsSDK").await;
        assert_eq!(refused.status, 400);
        end(&mut gateway).await;
        let id = refused.header("x-request-id");
        let about_it = gateway.logged(id);
        assert!(
            !about_it.is_empty() && about_it.iter().all(|line| line.contains("\"id\"")),
            "{about_it:#?}"
        );
        let others = gateway.log().into_iter().filter(|line| !line.contains("wxgate"));
        assert_eq!(others.count(), 0);
        lines.push(about_it.len());
    }
    assert_eq!(lines[0], lines[1]);
}
