//! The three stores, each over the real thing, and the pictures that go into them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use wxgate::image_store::{self, ImageStore, Picture};
use wxgate::picture::PictureKind;
use wxgate::settings;

use crate::s3::S3Server;
use crate::upload_service::UploadService;

/// A store, and access to its contents.
pub struct Fixture {
    pub store: Arc<dyn ImageStore>,
    pub name: &'static str,
    inside: Inside,
    /// The store's background work.
    tasks: TaskTracker,
}

enum Inside {
    Local(TempDir),
    Http(UploadService),
    S3(S3Server),
}

/// What a store has under a URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: String,
    pub content_type: String,
    pub content: Vec<u8>,
}

impl Fixture {
    pub async fn all() -> [Fixture; 3] {
        [Self::local().await, Self::http().await, Self::s3().await]
    }

    async fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = settings::LocalStore {
            directory: folder.path().to_owned(),
            ..Default::default()
        };
        let settings = settings::ImageStore {
            local,
            ..Default::default()
        };
        Self::open("local", &settings, Inside::Local(folder)).await
    }

    async fn http() -> Self {
        let service = UploadService::start().await;
        let backend = settings::ImageStoreBackend::Http;
        let settings = settings::ImageStore {
            backend,
            http: service.settings(),
            ..Default::default()
        };
        Self::open("http", &settings, Inside::Http(service)).await
    }

    async fn s3() -> Self {
        let server = S3Server::start().await;
        let backend = settings::ImageStoreBackend::S3;
        let settings = settings::ImageStore {
            backend,
            s3: server.settings(),
            ..Default::default()
        };
        Self::open("s3", &settings, Inside::S3(server)).await
    }

    async fn open(name: &'static str, settings: &settings::ImageStore, inside: Inside) -> Self {
        let tasks = TaskTracker::new();
        let open = image_store::open(&settings.resolve().unwrap(), &direct(), &tasks).await;
        let store = open.unwrap().store;
        Self {
            store,
            name,
            inside,
            tasks,
        }
    }

    /// What is stored at `url`.
    pub async fn read(&self, url: &str) -> Stored {
        let name = url.rsplit_once('/').unwrap().1.to_owned();
        match &self.inside {
            Inside::Local(folder) => {
                assert_eq!(url, format!("/images/{name}"));
                let content = std::fs::read(folder.path().join(&name)).unwrap();
                // The folder stores no content types; when a picture is served, the type is derived from its name.
                let extension = Path::new(&name).extension().unwrap().to_str().unwrap();
                let kind = PictureKind::ALL
                    .into_iter()
                    .find(|kind| kind.extension() == extension)
                    .unwrap();
                let content_type = kind.media_type().to_owned();
                Stored {
                    name,
                    content_type,
                    content,
                }
            }
            Inside::Http(service) => service.read(url),
            Inside::S3(server) => server.read(url).await,
        }
    }

    /// Asserts that the store holds nothing, finished or not, once its background work is done.
    pub async fn assert_empty(&self) {
        self.tasks.close();
        let emptied = async {
            self.tasks.wait().await;
            while !self.everything().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let emptied = tokio::time::timeout(Duration::from_secs(10), emptied).await.is_ok();
        assert!(emptied, "{}: {:?}", self.name, self.everything().await);
    }

    async fn everything(&self) -> Vec<String> {
        match &self.inside {
            Inside::Local(folder) => files(folder.path()),
            Inside::Http(service) => service.everything().await,
            Inside::S3(server) => files(server.root()),
        }
    }
}

/// All files below `folder`.
pub fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| self::files(folder));
    files
        .iter()
        .map(|path| path.display().to_string())
        .chain(below)
        .collect()
}

/// The photos in the fixtures.
pub fn photos() -> Vec<(PictureKind, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let contents = names.filter(|path| path.extension().is_some_and(|extension| extension != "md"));
    let photos: Vec<_> = contents
        .map(|path| {
            let content = std::fs::read(path).unwrap();
            (PictureKind::sniff(&content).unwrap(), content)
        })
        .collect();
    assert_eq!(photos.len(), 7);
    photos
}

/// A picture of `length` bytes, up to 12 MiB, without a pattern.
pub fn large(length: usize) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let noise = (0_u32..).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]);
        [0xFF, 0xD8, 0xFF]
            .into_iter()
            .chain(noise)
            .take(12 * 1024 * 1024)
            .collect()
    });
    NOISE[..length].to_vec()
}

/// The pieces of `content`, as a download would bring them.
pub fn pieces(content: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let content = Bytes::copy_from_slice(content);
    let starts = (0..content.len()).step_by(Picture::MAX_CHUNK);
    stream::iter(starts.map(move |start| {
        let end = content.len().min(start + Picture::MAX_CHUNK);
        Ok(content.slice(start..end))
    }))
}

/// A picture of `content`, with or without an announced length.
pub fn picture(kind: PictureKind, content: &[u8], announced: bool) -> Picture {
    let length = announced.then_some(content.len() as u64);
    Picture {
        kind,
        length,
        body: pieces(content).boxed(),
    }
}

/// No proxy, whatever the environment says.
pub fn direct() -> settings::HttpClient {
    settings::HttpClient {
        proxy: settings::values::HttpProxy::Never,
        ..Default::default()
    }
}
