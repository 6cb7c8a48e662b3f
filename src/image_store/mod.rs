//! Where pictures are stored: a folder, an upload service or an S3-compatible store, behind one trait.

mod http;
mod local;
mod name;
mod s3;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio_util::task::TaskTracker;

pub use self::http::HttpStore;
pub use self::local::{FolderHealth, LocalStore, StoredPicture};
pub use self::name::ImageName;
pub use self::s3::S3Store;
use crate::picture::PictureKind;
use crate::settings::values::{is_plain_path, parse_http};
use crate::settings::{self, UnusableSetting, resolved};

/// How long pictures may be cached: a picture's content never changes under its name.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// A picture to be stored.
pub struct Picture {
    /// Its kind, recognised by its bytes.
    pub kind: PictureKind,
    /// Its length in bytes, if WeChat announced it; `body` then has that many or ends in an error.
    pub length: Option<u64>,
    /// Its bytes as they arrive, in chunks of at most [`Picture::MAX_CHUNK`]. If this ends in an error, the store must
    /// leave nothing behind.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl Picture {
    /// The maximum length of a body's chunks, in bytes.
    ///
    /// The HTTP client reads up to about 400 KiB at once. Its sending side stops accepting chunks once it has that much
    /// to send, but it checks only after it has accepted one: shorter chunks keep it from holding twice as much for each
    /// upload (M2). 64 KiB is also a good size for writes to a file.
    pub const MAX_CHUNK: usize = 64 * 1024;
}

/// How a store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFailure {
    /// It failed in a way that may be temporary: it could not be reached, the connection broke, or it said that it can't
    /// store anything now.
    #[error("the image store failed: {0}")]
    Broken(String),
    /// It did not answer in time.
    #[error("the image store did not answer in time")]
    TimedOut,
    /// It refused, and would do so again; the text contains no secret of ours.
    #[error("the image store refused: {0}")]
    Refused(String),
}

impl StoreFailure {
    /// True if a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Broken(_) | Self::TimedOut => true,
            Self::Refused(_) => false,
        }
    }

    /// The failure that an answer with `status` means; `text` describes it.
    fn answered(status: StatusCode, text: String) -> Self {
        if matches!(status.as_u16(), 408 | 425 | 429 | 500..=599) {
            Self::Broken(text)
        } else {
            Self::Refused(text)
        }
    }
}

/// A store for pictures.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// Stores the whole `picture` under a new random name and returns its URL, or leaves nothing behind, even if the
    /// future is dropped.
    async fn put(&self, picture: Picture) -> Result<String, StoreFailure>;

    /// Checks whether pictures can be stored, as far as possible without storing one. Stores that can take a picture back
    /// are tried with a picture instead. The caller limits the wait.
    async fn probe(&self) -> Result<(), StoreFailure> {
        Ok(())
    }

    /// Reads the picture at `url`, which this store has returned, and removes it; `None` if the store can't do that.
    async fn take_back(&self, _url: &str) -> Result<Option<Bytes>, StoreFailure> {
        Ok(None)
    }

    /// The maximum number of attempts to store one picture, each with a fresh download.
    fn attempts(&self) -> u32;

    /// How long a put may take after it has received the end of the body.
    fn time_limit(&self) -> Duration;
}

/// The store chosen by the operator.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn ImageStore>,
    /// The same store, if it is a folder that the gateway serves itself.
    pub local: Option<Arc<LocalStore>>,
}

/// Opens the store chosen by `settings`, with connections according to `http`. The clean-up after a dropped put runs on
/// `tasks`, so that the drain can wait for it.
pub async fn open(
    settings: &resolved::ImageStore,
    http: &settings::HttpClient,
    tasks: &TaskTracker,
) -> Result<OpenStore, UnusableSetting> {
    let store: Arc<dyn ImageStore> = match settings {
        resolved::ImageStore::Local(settings) => {
            let local = Arc::new(LocalStore::open(settings, tasks).await?);
            return Ok(OpenStore {
                store: Arc::clone(&local) as _,
                local: Some(local),
            });
        }
        resolved::ImageStore::Http(settings) => Arc::new(HttpStore::open(settings, http)?),
        resolved::ImageStore::S3(settings) => Arc::new(S3Store::open(settings, http, tasks)?),
    };
    Ok(OpenStore { store, local: None })
}

/// True if one of our stores may have returned `url`: an http(s) URL, or a path of this gateway.
pub(crate) fn is_picture_url(url: &str) -> bool {
    parse_http(url).is_some() || (url.starts_with('/') && is_plain_path(url))
}

/// The failure of a put whose body ended with `error`.
fn body_failed(error: &io::Error) -> StoreFailure {
    StoreFailure::Broken(format!("the picture arrived incomplete: {error}"))
}
