//! The HTTP store over an upload service that takes notes, and one that misbehaves.

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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::image_store::{HttpStore, ImageStore, StoreFailure};
use wxgate::picture::Kind;
use wxgate::secret::Secret;
use wxgate::settings;

use crate::support::{Stored, direct, large, picture};

const TOKEN: &str = "Bearer hunter2-hunter2";

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
struct Upload {
    headers: HeaderMap,
    length: usize,
    part_head: String,
    file_name: String,
    content_type: String,
    content: Vec<u8>,
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

    fn settings_for(&self, path: &str) -> settings::HttpStore {
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

    fn upload(&self, url: &str) -> Upload {
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

/// Takes a form of one part apart.
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

/// Answers as no good service would.
async fn misbehave(axum::extract::Path(which): axum::extract::Path<String>, body: Body) -> Response {
    body.collect().await.unwrap();
    let json = |text: &'static str| ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    match which.as_str() {
        "refused" => json(r#"{"code":403,"message":"hunter2-hunter2","data":"https://img.example.com/a.jpg"}"#),
        "no-code" => json(r#"{"data":"https://img.example.com/a.jpg"}"#),
        "quoted" => json(r#"{"code":"0","data":"https://img.example.com/a.jpg"}"#),
        "blank" => json(r#"{"code":0,"data":" \t"}"#),
        "null" => json(r#"{"code":0,"data":null}"#),
        "object" => json(r#"{"code":0,"data":{"url":"https://img.example.com/a.jpg"}}"#),
        "empty" => json(""),
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

fn small() -> wxgate::image_store::Picture {
    picture(Kind::Jpeg, &large(20_000), true)
}

async fn put(settings: &settings::HttpStore) -> Result<String, StoreFailure> {
    HttpStore::open(&settings.resolve().unwrap(), &direct())
        .unwrap()
        .put(small())
        .await
}

#[tokio::test]
async fn upload_form_has_the_documented_layout() {
    let service = UploadService::start().await;
    let settings = settings::HttpStore {
        field: "upfile".to_owned(),
        ..service.settings()
    };
    let store = HttpStore::open(&settings.resolve().unwrap(), &direct()).unwrap();
    let content = large(20_000);
    for announced in [true, false] {
        let url = store.put(picture(Kind::Heic, &content, announced)).await.unwrap();
        let upload = service.upload(&url);
        let name = &upload.file_name;
        let expected =
            format!("Content-Disposition: form-data; name=\"upfile\"; filename=\"{name}\"\r\nContent-Type: image/heic");
        assert_eq!(upload.part_head, expected);
        assert_eq!(upload.headers[header::AUTHORIZATION], TOKEN);
        let length = upload
            .headers
            .get(header::CONTENT_LENGTH)
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(length, announced.then(|| upload.length.to_string()));
        assert_eq!(upload.headers.contains_key(header::TRANSFER_ENCODING), !announced);
    }
}

#[tokio::test]
async fn answer_without_success_is_a_refusal_with_its_reason() {
    let service = UploadService::start().await;
    for (answer, why) in [
        (
            "refused",
            "its answer has 403 at /code, not image_store.http.success_value; it says: \"********\"",
        ),
        (
            "no-code",
            "its answer has nothing at /code, not image_store.http.success_value",
        ),
        ("blank", "its answer has a blank text at /data, not a URL"),
        ("null", "its answer has null at /data, not a URL"),
        ("object", "its answer has an object at /data, not a URL"),
        ("empty", "its answer is not JSON"),
        ("html", "its answer is not JSON"),
        ("cut-off", "its answer is not JSON"),
        ("endless", "its answer is longer than 65536 bytes"),
        ("redirect", "it answered with HTTP status 307 Temporary Redirect"),
        ("see-other", "it answered with HTTP status 303 See Other"),
        ("nowhere", "it answered with HTTP status 404 Not Found"),
    ] {
        let put = put(&service.settings_for(&format!("/answers/{answer}"))).await;
        assert!(
            matches!(&put, Err(StoreFailure::Refused(text)) if text == why),
            "{answer}: {put:?}"
        );
    }
    // What may pass is no refusal.
    let put = put(&service.settings_for("/answers/500")).await;
    let why = "it answered with HTTP status 500 Internal Server Error";
    assert!(
        matches!(&put, Err(StoreFailure::Broken(text)) if text == why),
        "{put:?}"
    );
    assert_eq!(service.everything().await, Vec::<String>::new());
}

#[tokio::test]
async fn success_and_url_are_read_at_the_configured_pointers() {
    let service = UploadService::start().await;
    let url = "https://img.example.com/a.jpg";
    let quoted = service.settings_for("/answers/quoted");
    assert_eq!(put(&quoted).await.unwrap(), url);
    let nested = settings::HttpStore {
        success_pointer: String::new().try_into().unwrap(),
        url_pointer: "/data/url".to_owned().try_into().unwrap(),
        ..service.settings_for("/answers/object")
    };
    assert_eq!(put(&nested).await.unwrap(), url);
}

#[tokio::test]
async fn silent_upload_service_times_out() {
    let service = UploadService::start().await;
    let settings = settings::HttpStore {
        timeout: Duration::from_millis(200),
        ..service.settings_for("/answers/hang")
    };
    let put = put(&settings).await;
    assert!(matches!(put, Err(StoreFailure::TimedOut)), "{put:?}");
}

#[tokio::test]
async fn broken_upload_service_is_reported_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/upload?key=hunter2-hunter2", listener.local_addr().unwrap());
    let settings = settings::HttpStore {
        url: Some(Url::parse(&url).unwrap()),
        headers: BTreeMap::from([("X-Key".to_owned(), Secret::new("hunter2-hunter2"))]),
        ..Default::default()
    };
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":0,",
        "HTTP/9 what?\r\n\r\n",
    ] {
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 64]).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
        };
        let (put, ()) = tokio::join!(put(&settings), serve);
        assert_broken(&put);
    }
    drop(listener);
    assert!(matches!(
        HttpStore::open(&settings.resolve().unwrap(), &direct())
            .unwrap()
            .probe()
            .await,
        Err(StoreFailure::Broken(_))
    ));
    assert_broken(&put(&settings).await);
}

#[tokio::test]
async fn probe_fails_if_the_service_refuses_the_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/upload", listener.local_addr().unwrap());
    let settings = settings::HttpStore {
        url: Some(Url::parse(&url).unwrap()),
        ..Default::default()
    };
    for (status, fine) in [
        ("204 No Content", true),
        ("404 Not Found", true),
        ("401 Unauthorized", false),
        ("502 Bad Gateway", false),
    ] {
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await;
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        };
        let store = HttpStore::open(&settings.resolve().unwrap(), &direct()).unwrap();
        let (probe, ()) = tokio::join!(store.probe(), serve);
        assert_eq!(probe.is_ok(), fine, "{probe:?}");
    }
}

/// A proxy with a limit on bodies answers as soon as it has read the head, and reads on for a while.
#[tokio::test]
async fn early_refusal_is_no_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/upload", listener.local_addr().unwrap());
    let settings = settings::HttpStore {
        url: Some(Url::parse(&url).unwrap()),
        ..Default::default()
    };
    let store = HttpStore::open(&settings.resolve().unwrap(), &direct()).unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1024]).await;
        let answer = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        while socket.read(&mut [0; 8192]).await.is_ok_and(|read| read > 0) {}
    };
    let content = large(12 * 1024 * 1024);
    let (put, ()) = tokio::join!(store.put(picture(Kind::Jpeg, &content, true)), serve);
    let why = "it answered with HTTP status 413 Payload Too Large";
    assert!(
        matches!(&put, Err(StoreFailure::Refused(text)) if text == why),
        "{put:?}"
    );
}

fn assert_broken(put: &Result<String, StoreFailure>) {
    let Err(StoreFailure::Broken(text)) = put else {
        panic!("{put:?}")
    };
    assert!(!text.contains("hunter2"), "{text}");
}
