//! A thousand signatures, whose instructions callgrind counts.

mod warm;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::FutureExt;
use tower::Service;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut gateway = warm::gateway().await;
        let requests: Vec<_> = (0..1000).map(|_| warm::request()).collect();
        sign_all(&mut gateway, requests);
    });
}

/// What is counted; callgrind knows it by its name.
#[inline(never)]
fn sign_all(gateway: &mut Router, requests: Vec<Request<Body>>) {
    for request in requests {
        let answer = gateway.call(request).now_or_never();
        let answer = answer.expect("a warm gateway answers without waiting").unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
