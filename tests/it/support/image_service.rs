//! A company's upload service: takes multipart uploads, and answers as the test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wxgate::http::serve::Server;

/// Its answer to each upload; the first upload is number 1.
type Answer = dyn Fn(usize) -> Response + Send + Sync;

/// The service; it ends with the test.
pub struct ImageService {
    address: SocketAddr,
    inside: Arc<Inside>,
    serving: JoinHandle<()>,
}

struct Inside {
    answer: Box<Answer>,
    uploads: Mutex<Vec<(HeaderMap, Vec<u8>)>>,
}

impl ImageService {
    pub async fn start() -> Self {
        Self::answering(|_| r#"{"code":0,"data":"http://images.example.com/picture.jpg"}"#.into_response()).await
    }

    /// A service that answers so.
    pub async fn answering(answer: impl Fn(usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Arc::new(Inside {
            answer: Box::new(answer),
            uploads: Mutex::default(),
        });
        let router = Router::new()
            .route("/upload", post(take))
            .with_state(Arc::clone(&inside));
        let serve = Server::default().serve(listener, router, CancellationToken::new(), std::time::Duration::ZERO);
        Self {
            address,
            inside,
            serving: tokio::spawn(serve),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/upload", self.address)
    }

    /// The headers of the uploads so far.
    pub fn headers(&self) -> Vec<HeaderMap> {
        let uploads = self.inside.uploads.lock().unwrap();
        uploads.iter().map(|(headers, _)| headers.clone()).collect()
    }

    /// The forms of the uploads so far, as text.
    pub fn forms(&self) -> Vec<String> {
        let uploads = self.inside.uploads.lock().unwrap();
        let text = |(_, form): &(HeaderMap, Vec<u8>)| String::from_utf8_lossy(form).into_owned();
        uploads.iter().map(text).collect()
    }
}

impl Drop for ImageService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Body) -> Response {
    let form = body.collect().await.unwrap().to_bytes().to_vec();
    let number = {
        let mut uploads = inside.uploads.lock().unwrap();
        uploads.push((headers, form));
        uploads.len()
    };
    (inside.answer)(number)
}
