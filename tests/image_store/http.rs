//! The HTTP store over an upload service.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wxgate::image_store::{HttpStore, ImageStore, StoreFailure};
use wxgate::picture::PictureKind;
use wxgate::secret::Secret;
use wxgate::settings::{self, resolved};

use crate::support::{direct, large, picture};
use crate::upload_service::{TOKEN, UploadService};

fn small() -> wxgate::image_store::Picture {
    picture(PictureKind::Jpeg, &large(20_000), true)
}

fn open(section: &settings::HttpStore) -> HttpStore {
    let settings = settings::ImageStore {
        backend: settings::ImageStoreBackend::Http,
        http: section.clone(),
        ..Default::default()
    };
    let Some(resolved::ImageStore::Http(http)) = settings.resolve() else {
        panic!("{section:?}")
    };
    HttpStore::open(&http, &direct()).unwrap()
}

async fn put(settings: &settings::HttpStore) -> Result<String, StoreFailure> {
    open(settings).put(small()).await
}

#[tokio::test]
async fn upload_form_has_the_documented_layout() {
    let service = UploadService::start().await;
    let settings = settings::HttpStore {
        field: "upfile".to_owned(),
        ..service.settings()
    };
    let store = open(&settings);
    let content = large(20_000);
    for announced in [true, false] {
        let url = store
            .put(picture(PictureKind::Heic, &content, announced))
            .await
            .unwrap();
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
        ("blank", "its answer has a blank string at /data, not a URL"),
        ("null", "its answer has null at /data, not a URL"),
        ("object", "its answer has an object at /data, not a URL"),
        ("empty", "its answer is not JSON"),
        ("html", "its answer is not JSON"),
        (
            "text",
            "its answer is not JSON; for plain text, set image_store.http.url_pointer = \"body\"",
        ),
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
    // An error that may pass is not a refusal.
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
    for answer in ["quoted", "marked"] {
        let settings = service.settings_for(&format!("/answers/{answer}"));
        assert_eq!(put(&settings).await.unwrap(), url);
    }
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
    assert!(matches!(open(&settings).probe().await, Err(StoreFailure::Broken(_))));
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
        let store = open(&settings);
        let (probe, ()) = tokio::join!(store.probe(), serve);
        assert_eq!(probe.is_ok(), fine, "{probe:?}");
    }
}

/// A proxy with a limit on bodies answers as soon as it has read the head, and keeps reading for a while.
#[tokio::test]
async fn early_refusal_is_no_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/upload", listener.local_addr().unwrap());
    let settings = settings::HttpStore {
        url: Some(Url::parse(&url).unwrap()),
        ..Default::default()
    };
    let store = open(&settings);
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1024]).await;
        let answer = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        while socket.read(&mut [0; 8192]).await.is_ok_and(|read| read > 0) {}
    };
    let content = large(12 * 1024 * 1024);
    let (put, ()) = tokio::join!(store.put(picture(PictureKind::Jpeg, &content, true)), serve);
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
