//! S3 without access keys: requests are signed with the platform's role credentials.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use wxgate::sandbox::SandboxConfig;

use crate::support::{Gateway, SandboxHost};

#[tokio::test]
async fn pods_role_signs_requests_to_s3() {
    let (directory, signatures) = (tempfile::tempdir().unwrap(), Arc::<Mutex<Vec<HeaderMap>>>::default());
    let token = directory.path().join("token");
    std::fs::write(&token, "the-pods-token").unwrap();
    let role = async |headers: HeaderMap| {
        assert_eq!(headers["authorization"], "the-pods-token");
        Json(json!({
            "AccessKeyId": "ROLEKEY",
            "SecretAccessKey": "hunter2",
            "Token": "session",
            "Expiration": "2100-01-01T00:00:00Z",
        }))
    };
    let kept = Arc::clone(&signatures);
    let bucket = async move |headers: HeaderMap| {
        kept.lock().unwrap().push(headers);
        StatusCode::FORBIDDEN
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/role", get(role)).fallback(bucket);
    let serving = tokio::spawn(async { axum::serve(listener, router).await });

    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .set("image_store.backend", "s3")
        .set("image_store.s3.endpoint", format!("http://{address}"))
        .set("image_store.s3.bucket", "photos")
        .set("image_store.s3.public_base_url", "https://img.example.com")
        .variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/role"))
        .variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.display())
        // Another program's.
        .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .variable("AWS_ACCESS_KEY_ID", "ANOTHER")
        .variable("AWS_SECRET_ACCESS_KEY", "ANOTHER");
    let ran = builder.run(&wechat, &["check"]).await;
    serving.abort();
    assert!(ran.code == 1 && ran.out.contains("HTTP status 403"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("hunter2"));
    let signatures = signatures.lock().unwrap();
    assert!(!signatures.is_empty());
    for headers in signatures.iter() {
        let signature = headers["authorization"].to_str().unwrap();
        assert!(signature.contains("Credential=ROLEKEY/"), "{signature}");
        assert_eq!(headers["x-amz-security-token"], "session");
    }
}
