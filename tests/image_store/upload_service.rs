//! An upload service that records its requests, and bad answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::secret::Secret;
use wxgate::settings;

use crate::support::Stored;

pub const TOKEN: &str = "Bearer hunter2-hunter2";

/// An upload service; it stops when dropped.
pub struct UploadService {
    address: String,
    notes: Arc<Notes>,
    _stops: DropGuard,
}

/// What came in.
#[derive(Default)]
struct Notes {
    whole: Mutex<Vec<Upload>>,
    /// Requests that have begun and not ended: an upload that broke off must not linger.
    under_way: std::sync::atomic::AtomicUsize,
}

#[derive(Clone)]
pub struct Upload {
    pub headers: HeaderMap,
    pub length: usize,
    pub part_head: String,
    pub file_name: String,
    pub content_type: String,
    pub content: Vec<u8>,
}

impl UploadService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let notes = Arc::new(Notes::default());
        let router = Router::new()
            .route("/upload", post(take))
            .route("/answers/{which}", post(misbehave))
            .with_state(Arc::clone(&notes));
        let stop = CancellationToken::new();
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(serve.into_future());
        Self {
            address,
            notes,
            _stops: stop.drop_guard(),
        }
    }

    pub fn settings(&self) -> settings::HttpStore {
        self.settings_for("/upload?key=in-the-query")
    }

    pub fn settings_for(&self, path: &str) -> settings::HttpStore {
        settings::HttpStore {
            url: Some(Url::parse(&format!("http://{}{path}", self.address)).unwrap()),
            headers: BTreeMap::from([("Authorization".to_owned(), Secret::new(TOKEN))]),
            timeout: Duration::from_secs(5),
            ..Default::default()
        }
    }

    pub fn read(&self, url: &str) -> Stored {
        let upload = self.upload(url);
        Stored {
            name: upload.file_name,
            content_type: upload.content_type,
            content: upload.content,
        }
    }

    pub fn upload(&self, url: &str) -> Upload {
        let whole = self.notes.whole.lock().unwrap();
        whole
            .iter()
            .find(|upload| url.ends_with(&upload.file_name))
            .unwrap()
            .clone()
    }

    /// The uploads that came whole, once none is under way any more.
    pub async fn everything(&self) -> Vec<String> {
        let ended = async {
            while self.notes.under_way.load(std::sync::atomic::Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended)
            .await
            .expect("an upload lingers");
        let whole = self.notes.whole.lock().unwrap();
        whole.iter().map(|upload| upload.file_name.clone()).collect()
    }
}

struct UnderWay(Arc<Notes>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

async fn take(State(notes): State<Arc<Notes>>, request: Request) -> Response {
    notes.under_way.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let _under_way = UnderWay(Arc::clone(&notes));
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let upload = parse(head.headers, &body.to_bytes());
    let url = format!("https://img.example.com/a/{}", upload.file_name);
    notes.whole.lock().unwrap().push(upload);
    axum::Json(serde_json::json!({ "code": 0, "data": url })).into_response()
}

/// Parses a form of one part.
fn parse(headers: HeaderMap, body: &[u8]) -> Upload {
    let content_type = headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let opening = format!("--{boundary}\r\n");
    let closing = format!("\r\n--{boundary}--\r\n");
    let part = body.strip_prefix(opening.as_bytes()).unwrap();
    let part = part.strip_suffix(closing.as_bytes()).unwrap();
    let gap = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let part_head = String::from_utf8(part[..gap].to_vec()).unwrap();
    let field = |before: &str, after: &str| {
        let rest = part_head.split_once(before).unwrap().1;
        rest.split_once(after).map_or(rest, |(value, _)| value).to_owned()
    };
    Upload {
        file_name: field("filename=\"", "\""),
        content_type: field("Content-Type: ", "\r\n"),
        content: part[gap + 4..].to_vec(),
        length: body.len(),
        part_head,
        headers,
    }
}

/// Bad answers.
async fn misbehave(axum::extract::Path(which): axum::extract::Path<String>, body: Body) -> Response {
    body.collect().await.unwrap();
    let json = |text: &'static str| ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    match which.as_str() {
        "refused" => json(r#"{"code":403,"message":"hunter2-hunter2","data":"https://img.example.com/a.jpg"}"#),
        "no-code" => json(r#"{"data":"https://img.example.com/a.jpg"}"#),
        "quoted" => json(r#"{"code":"0","data":"https://img.example.com/a.jpg"}"#),
        "marked" => json("\u{feff}{\"code\":0,\"data\":\"https://img.example.com/a.jpg\"}"),
        "blank" => json(r#"{"code":0,"data":" \t"}"#),
        "null" => json(r#"{"code":0,"data":null}"#),
        "object" => json(r#"{"code":0,"data":{"url":"https://img.example.com/a.jpg"}}"#),
        "empty" => json(""),
        "text" => "https://img.example.com/a.jpg\n".into_response(),
        "html" => "<html>It works!</html>".into_response(),
        "cut-off" => json(r#"{"code":0,"data":"https://img.exam"#),
        "endless" => Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(" ".repeat(1000))
        }))
        .into_response(),
        "500" => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"code":0,"data":"https://img.example.com/a.jpg"}"#,
        )
            .into_response(),
        "redirect" => Redirect::temporary("/upload").into_response(),
        "see-other" => Redirect::to("/answers/quoted").into_response(),
        "hang" => std::future::pending().await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
