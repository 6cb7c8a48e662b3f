//! The S3 store over a real S3 server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt};
use reqwest::Url;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wxgate::image_store::{ImageStore, S3Store, StoreFailure};
use wxgate::picture::PictureKind;
use wxgate::secret::Secret;
use wxgate::settings::{self, resolved};

use crate::support::{Stored, direct, files, large, picture};

const BUCKET: &str = "photos";
const KEY_ID: &str = "test-key-id";
const KEY: &str = "test-secret-key";

/// An S3 server over a folder; it stops when dropped.
pub struct S3Server {
    root: TempDir,
    endpoint: Url,
    tricks: Arc<Tricks>,
    _stops: DropGuard,
}

/// Selects requests.
type Which = fn(&Method, &Uri) -> bool;

/// The server's faults.
#[derive(Default)]
struct Tricks {
    /// How many requests are answered 503.
    unavailable: AtomicUsize,
    /// Whose answers are 503, though the request has been carried out.
    spoilt: Mutex<Option<Which>>,
    /// Whose answers are held back, once the request has been carried out.
    held: Mutex<Option<Which>>,
    /// Notified when a request was carried out whose answer is held back.
    holding: Notify,
    /// Releases the held answers.
    let_go: Notify,
}

impl S3Server {
    pub async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, KEY));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let tricks = Arc::new(Tricks::default());
        let stop = CancellationToken::new();
        let serve = accept(listener, service, Arc::clone(&tricks));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(serve).await });
        Self {
            root,
            endpoint,
            tricks,
            _stops: stop.drop_guard(),
        }
    }

    pub fn settings(&self) -> settings::S3Store {
        settings::S3Store {
            endpoint: Some(self.endpoint.clone()),
            bucket: BUCKET.to_owned(),
            prefix: "h5/照片/".to_owned(),
            access_key_id: Secret::new(KEY_ID),
            secret_access_key: Secret::new(KEY),
            public_base_url: Some(Url::parse("https://img.example.com/static").unwrap()),
            ..Default::default()
        }
    }

    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    pub async fn read(&self, url: &str) -> Stored {
        let prefix = "https://img.example.com/static/h5/%E7%85%A7%E7%89%87/";
        let name = url.strip_prefix(prefix).unwrap_or_else(|| panic!("{url}")).to_owned();
        let client = AmazonS3Builder::new()
            .with_endpoint(self.endpoint.as_str().trim_end_matches('/'))
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_access_key_id(KEY_ID)
            .with_secret_access_key(KEY)
            .build()
            .unwrap();
        let object = client
            .get(&Path::parse(format!("h5/照片/{name}")).unwrap())
            .await
            .unwrap();
        let content_type = object.attributes.get(&Attribute::ContentType).unwrap().to_string();
        let content = object.bytes().await.unwrap().to_vec();
        Stored {
            name,
            content_type,
            content,
        }
    }
}

async fn accept(listener: TcpListener, service: S3Service, tricks: Arc<Tricks>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (service, tricks) = (service.clone(), Arc::clone(&tricks));
        let service = service_fn(move |request| answer(service.clone(), Arc::clone(&tricks), request));
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(
    service: S3Service,
    tricks: Arc<Tricks>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, s3s::HttpError> {
    let one_less = |left: usize| left.checked_sub(1);
    let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
    if tricks.unavailable.fetch_update(set, fetch, one_less).is_ok() {
        let mut answer = Response::new(s3s::Body::empty());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(answer);
    }
    let picked = |which: &Mutex<Option<Which>>| {
        let which = *which.lock().unwrap();
        which.is_some_and(|which| which(request.method(), request.uri()))
    };
    let (held, spoilt) = (picked(&tricks.held), picked(&tricks.spoilt));
    let mut answer = service.call(request.map(s3s::Body::from)).await?;
    if held {
        tricks.holding.notify_one();
        tricks.let_go.notified().await;
    }
    if spoilt {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

fn resolve(section: &settings::S3Store) -> Box<resolved::S3Store> {
    let settings = settings::ImageStore {
        backend: settings::ImageStoreBackend::S3,
        s3: section.clone(),
        ..Default::default()
    };
    match settings.resolve() {
        Some(resolved::ImageStore::S3(s3)) => s3,
        _ => panic!("{section:?}"),
    }
}

fn open(settings: &settings::S3Store) -> S3Store {
    S3Store::open(&resolve(settings), &direct(), &TaskTracker::new()).unwrap()
}

#[tokio::test]
async fn put_is_retried_while_the_server_is_unavailable() {
    let server = S3Server::start().await;
    server.tricks.unavailable.store(2, Ordering::SeqCst);
    let content = large(100_000);
    let url = open(&server.settings())
        .put(picture(PictureKind::Jpeg, &content, true))
        .await
        .unwrap();
    assert!(server.read(&url).await.content == content);
}

/// A picture's length, and the request that completes its put.
const LAST_REQUESTS: [(usize, Which); 2] = [
    (1000, |method, _| method == Method::PUT),
    (6 * 1024 * 1024, |method, uri| {
        method == Method::POST && uri.query().unwrap().contains("uploadId=")
    }),
];

#[tokio::test]
async fn object_is_removed_if_s3_stored_it_but_reported_failure() {
    let server = S3Server::start().await;
    for (length, is_last) in LAST_REQUESTS {
        *server.tricks.spoilt.lock().unwrap() = Some(is_last);
        let tasks = TaskTracker::new();
        let store = S3Store::open(&resolve(&server.settings()), &direct(), &tasks).unwrap();
        let put = store.put(picture(PictureKind::Jpeg, &large(length), true)).await;
        assert!(put.is_err(), "{put:?}");
        tasks.close();
        tasks.wait().await;
        assert_eq!(objects(&server), 0);
    }
}

#[tokio::test]
async fn picture_is_taken_back_with_any_prefix() {
    let server = S3Server::start().await;
    for prefix in ["", "h5/", "photo-", "h5/图 "] {
        let settings = settings::S3Store {
            prefix: prefix.to_owned(),
            ..server.settings()
        };
        let store = open(&settings);
        let url = store.put(picture(PictureKind::Jpeg, b"a photo", true)).await.unwrap();
        let taken = store.take_back(&url).await.unwrap();
        assert_eq!(taken.as_deref(), Some(&b"a photo"[..]), "{url}");
        assert_eq!(objects(&server), 0);
        let elsewhere = url.replace("img.", "another.");
        assert!(store.take_back(&elsewhere).await.unwrap().is_none(), "{elsewhere}");
    }
}

#[tokio::test]
async fn object_is_removed_if_the_put_is_dropped_before_the_answer() {
    let server = S3Server::start().await;
    for (length, is_last) in LAST_REQUESTS {
        *server.tricks.held.lock().unwrap() = Some(is_last);
        let tasks = TaskTracker::new();
        let store = S3Store::open(&resolve(&server.settings()), &direct(), &tasks).unwrap();
        tokio::select! {
            done = store.put(picture(PictureKind::Jpeg, &large(length), true)) => panic!("{done:?}"),
            () = server.tricks.holding.notified() => {}
        }
        assert_eq!(objects(&server), 1);
        server.tricks.let_go.notify_one();
        tokio::time::timeout(Duration::from_secs(10), async {
            while objects(&server) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the object stays");
        tasks.close();
        tasks.wait().await;
    }
}

/// How many objects there are, without the server's own metadata files.
fn objects(server: &S3Server) -> usize {
    files(server.root())
        .iter()
        .filter(|file| PictureKind::ALL.iter().any(|kind| file.ends_with(kind.extension())))
        .count()
}

#[tokio::test]
async fn refusal_is_reported_with_its_code_and_without_keys() {
    let server = S3Server::start().await;
    let settings = settings::S3Store {
        secret_access_key: Secret::new("wrong"),
        ..server.settings()
    };
    for length in [1000, 6 * 1024 * 1024] {
        let put = open(&settings)
            .put(picture(PictureKind::Jpeg, &large(length), true))
            .await;
        let expected = "HTTP status 403 Forbidden, SignatureDoesNotMatch";
        assert!(
            matches!(&put, Err(StoreFailure::Refused(text)) if text == expected),
            "{put:?}"
        );
    }
    assert_eq!(files(server.root()), Vec::<String>::new());
}

#[tokio::test]
async fn unreachable_server_is_a_broken_store() {
    let server = S3Server::start().await;
    let settings = server.settings();
    drop(server);
    let put = open(&settings)
        .put(picture(PictureKind::Jpeg, &large(1000), true))
        .await;
    assert!(
        matches!(&put, Err(StoreFailure::Broken(text)) if text.contains("refused")),
        "{put:?}"
    );
}

#[test]
fn store_without_keys_is_built_for_the_machines_role() {
    let keyless = settings::S3Store {
        bucket: BUCKET.to_owned(),
        public_base_url: Some(Url::parse("https://img.example.com").unwrap()),
        ..Default::default()
    };
    let resolved = resolve(&keyless);
    assert!(resolved.section.keys().is_none());
    S3Store::open(&resolved, &direct(), &TaskTracker::new()).unwrap();
}
