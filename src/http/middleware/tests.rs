use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::get;
use prometheus::Registry;
use tower::ServiceExt;

use super::*;
use crate::http::X_REQUEST_ID;

fn stack(registry: &Registry) -> Stack {
    Stack {
        listener: Listener::Public,
        failure: ApiError::envelope,
        headers: |_| {},
        trusted_proxies: Arc::default(),
        metrics: HttpMetrics::register(registry).unwrap(),
        traces: None,
    }
}

async fn ask(routes: Router, label: Option<&'static str>) -> (u16, serde_json::Value, String) {
    let registry = Registry::new();
    let group = Group {
        label,
        kind: Kind::Waits,
        time_limit: Some(Duration::from_secs(1)),
    };
    let routes = stack(&registry).around(routes, group);
    let request = Request::get("/a/1").body(Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let id = response.headers()[X_REQUEST_ID].to_str().unwrap().to_owned();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["traceId"], id);
    let counted = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
    (status, body, counted.unwrap())
}

#[tokio::test]
async fn a_panic_is_answered_in_the_envelope_without_its_words() {
    let boom = || async { assert!(Vec::<u8>::new().len() > 1, "inner words") };
    let (status, body, _) = ask(Router::new().route("/a/{id}", get(boom)), None).await;
    assert_eq!(
        (status, &body["code"], &body["error"]),
        (500, &5000.into(), &"INTERNAL_ERROR".into())
    );
    assert!(!body.to_string().contains("inner words"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_cut_off_with_4003() {
    let routes = Router::new().route("/a/{id}", get(std::future::pending::<()>));
    let (status, body, _) = ask(routes, None).await;
    assert_eq!((status, &body["code"]), (504, &4003.into()));
}

#[tokio::test]
async fn metric_label_is_the_groups_or_the_path_as_registered() {
    let failing = || async { ApiError::plain(Code::NotFound) };
    for (label, expected) in [(None, "/a/{id}"), (Some("/all"), "/all")] {
        let (_, _, counted) = ask(Router::new().route("/a/{id}", get(failing)), label).await;
        let series = format!("wxgate_http_requests_total{{method=\"GET\",route=\"{expected}\",status=\"404\"}} 1");
        assert!(counted.contains(&series), "{counted}");
    }
}
