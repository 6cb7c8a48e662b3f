//! An image store of the company's own: takes multipart uploads, answers JSON, keeps nothing.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The service; it ends with the test.
pub struct ImageService {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl ImageService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/upload", post(take));
        let serve = wxgate::server::serve(listener, router, CancellationToken::new(), std::time::Duration::ZERO);
        Self {
            address,
            serving: tokio::spawn(serve),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/upload", self.address)
    }
}

impl Drop for ImageService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(body: Body) -> &'static str {
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        piece.unwrap();
    }
    r#"{"code":0,"data":"http://images.example.com/picture.jpg"}"#
}
