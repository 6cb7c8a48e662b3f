//! An image store of the company's own: takes multipart uploads, answers JSON, keeps no picture.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The headers of each upload.
type Headers = Arc<Mutex<Vec<HeaderMap>>>;

/// The service; it ends with the test.
pub struct ImageService {
    address: SocketAddr,
    headers: Headers,
    serving: JoinHandle<()>,
}

impl ImageService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let headers = Headers::default();
        let router = Router::new()
            .route("/upload", post(take))
            .with_state(Arc::clone(&headers));
        let serve = wxgate::http::serve::serve(listener, router, CancellationToken::new(), std::time::Duration::ZERO);
        Self {
            address,
            headers,
            serving: tokio::spawn(serve),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/upload", self.address)
    }
}

impl ImageService {
    /// The headers of the uploads so far.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.headers.lock().unwrap().clone()
    }
}

impl Drop for ImageService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(seen): State<Headers>, headers: HeaderMap, body: Body) -> &'static str {
    seen.lock().unwrap().push(headers);
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        piece.unwrap();
    }
    r#"{"code":0,"data":"http://images.example.com/picture.jpg"}"#
}
