//! The S3 store over a real S3 server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt};
use reqwest::Url;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wxgate::image_store::{self, ImageStore, StoreFailure};
use wxgate::picture::Kind;
use wxgate::secret::Secret;
use wxgate::settings;

use crate::support::{Stored, files, large, picture};

const BUCKET: &str = "photos";
const KEY_ID: &str = "test-key-id";
const KEY: &str = "test-secret-key";

/// An S3 server over a folder; it stops when dropped.
pub struct S3Server {
    root: TempDir,
    endpoint: Url,
    unavailable: Arc<AtomicUsize>,
    _stops: DropGuard,
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
        let unavailable = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let serve = accept(listener, service, Arc::clone(&unavailable));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(serve).await });
        Self {
            root,
            endpoint,
            unavailable,
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

/// Serves, but answers 503 as often as `unavailable` says.
async fn accept(listener: TcpListener, service: s3s::service::S3Service, unavailable: Arc<AtomicUsize>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (service, unavailable) = (service.clone(), Arc::clone(&unavailable));
        let service = hyper::service::service_fn(move |request| {
            let down = unavailable
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            let service = service.clone();
            async move {
                if down {
                    let mut answer = hyper::Response::new(s3s::Body::empty());
                    *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
                    return Ok(answer);
                }
                hyper::service::Service::call(&service, request).await
            }
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

fn open(settings: settings::S3Store) -> Arc<dyn ImageStore> {
    let backend = settings::ImageStoreBackend::S3;
    let settings = settings::ImageStore {
        backend,
        s3: settings,
        ..Default::default()
    };
    image_store::open(&settings, &TaskTracker::new()).unwrap().store
}

#[tokio::test]
async fn a_server_that_is_unavailable_for_a_moment_is_asked_again() {
    let server = S3Server::start().await;
    server.unavailable.store(2, Ordering::SeqCst);
    let content = large(100_000);
    let url = open(server.settings())
        .put(picture(Kind::Jpeg, &content, true))
        .await
        .unwrap();
    assert!(server.read(&url).await.content == content);
}

#[tokio::test]
async fn a_refusal_names_its_code_and_no_key() {
    let server = S3Server::start().await;
    let settings = settings::S3Store {
        secret_access_key: Secret::new("wrong"),
        ..server.settings()
    };
    for length in [1000, 6 * 1024 * 1024] {
        let put = open(settings.clone())
            .put(picture(Kind::Jpeg, &large(length), true))
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
async fn a_server_that_is_not_there_is_a_broken_store() {
    let server = S3Server::start().await;
    let settings = server.settings();
    drop(server);
    let put = open(settings).put(picture(Kind::Jpeg, &large(1000), true)).await;
    assert!(
        matches!(&put, Err(StoreFailure::Broken(text)) if text.contains("refused")),
        "{put:?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    let complete = settings::S3Store {
        bucket: BUCKET.to_owned(),
        public_base_url: Some(Url::parse("https://img.example.com").unwrap()),
        ..Default::default()
    };
    let open = |settings| {
        image_store::S3Store::open(&settings, &TaskTracker::new())
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert_eq!(open(complete.clone()), Ok(()));
    let without = settings::S3Store {
        bucket: String::new(),
        ..complete.clone()
    };
    assert_eq!(open(without), Err("image_store.s3.bucket: missing".to_owned()));
    let without = settings::S3Store {
        public_base_url: None,
        ..complete.clone()
    };
    assert_eq!(open(without), Err("image_store.s3.public_base_url: missing".to_owned()));
    let odd = settings::S3Store {
        prefix: "a//b".to_owned(),
        ..complete
    };
    assert!(open(odd).unwrap_err().starts_with("image_store.s3.prefix: "));
}
