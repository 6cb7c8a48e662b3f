//! The two image stores, and what is in them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// What identifies a picture's bytes.
pub type Sum = [u8; 32];

pub fn sum(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

/// A company's upload service: multipart in, JSON out.
#[derive(Clone, Default)]
pub struct Service(Arc<Mutex<HashMap<String, Sum>>>);

impl Service {
    pub async fn start() -> (Self, SocketAddr) {
        let service = Self::default();
        let router = Router::new()
            .route("/upload", post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(service.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (service, address)
    }

    pub fn at(&self, url: &str) -> Option<Sum> {
        self.0.lock().unwrap().get(url).copied()
    }

    /// What it holds.
    pub fn sums(&self) -> Vec<Sum> {
        self.0.lock().unwrap().values().copied().collect()
    }
}

async fn take(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let content_type = headers["content-type"].to_str().unwrap();
    let boundary = content_type.split_once("boundary=").unwrap().1.trim_matches('"');
    let find = |text: &[u8]| body.windows(text.len()).position(|window| window == text);
    let closing = format!("\r\n--{boundary}--\r\n");
    let (Some(head), Some(whole)) = (find(b"\r\n\r\n"), body.strip_suffix(closing.as_bytes())) else {
        return (StatusCode::BAD_REQUEST, "{}".to_owned());
    };
    let mut pictures = service.0.lock().unwrap();
    let url = format!("http://pictures.test/{}", pictures.len());
    pictures.insert(url.clone(), sum(&whole[head + 4..]));
    (StatusCode::OK, format!(r#"{{"code":0,"data":"{url}"}}"#))
}
