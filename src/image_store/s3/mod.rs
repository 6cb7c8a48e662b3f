//! Pictures in an S3-compatible store.
//!
//! The body is collected into parts of 5 MiB, the smallest that S3 takes, one at a time. A picture that fits
//! into one part is sent in a single request, which is atomic; a larger one in a multipart upload. Each put is
//! a task of its own on the store's tracker: dropping its future only cancels it, so that it can still remove
//! what it has written.

mod client;
mod error;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::error::failed;
use self::parts::{PART, Parts};
use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure};
use crate::picture::Kind;
use crate::settings::{self, resolved};

/// The last part and the request that completes the upload, each with its retries.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// A bucket.
pub struct S3Store {
    bucket: Arc<Bucket>,
    tasks: TaskTracker,
}

/// The bucket itself, shared with the puts in progress.
struct Bucket {
    store: AmazonS3,
    prefix: String,
    base: Url,
}

impl S3Store {
    /// A client for the bucket in `settings`, with connections according to `http`; nothing is sent yet. Puts
    /// run on `tasks`.
    pub fn open(
        settings: &resolved::S3Store,
        http: &settings::HttpClient,
        tasks: &TaskTracker,
    ) -> Result<Self, OpenError> {
        let bucket = Bucket {
            store: client::open(settings, http)?,
            prefix: settings.prefix.clone(),
            base: settings.public_base_url.clone(),
        };
        Ok(Self {
            bucket: Arc::new(bucket),
            tasks: tasks.clone(),
        })
    }
}

impl ImageStore for S3Store {
    fn put(&self, picture: Picture) -> BoxFuture<'_, Result<String, StoreFailure>> {
        let cancelled = CancellationToken::new();
        let put = put(Arc::clone(&self.bucket), picture, cancelled.clone(), self.tasks.clone());
        async move {
            let _cancels_when_dropped = cancelled.drop_guard();
            let object = self.tasks.spawn(put).await;
            let interrupted = |_| StoreFailure::Broken("the upload was interrupted".to_owned());
            Ok(object.map_err(interrupted)??.keep())
        }
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreFailure>> {
        // To begin an upload and abort it takes the same rights as a put, and leaves nothing behind.
        async {
            let key = self.bucket.key(&ImageName::random(Kind::Jpeg))?;
            let upload = self.bucket.store.put_multipart(&key).await;
            let aborted = upload.map_err(|error| failed(&error))?.abort().await;
            aborted.map_err(|error| failed(&error))
        }
        .boxed()
    }

    fn take_back<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreFailure>> {
        async move {
            let Some(key) = self.bucket.key_of(url) else {
                return Ok(None);
            };
            let store = &self.bucket.store;
            let read = async { store.get(&key).await?.bytes().await };
            let bytes = read.await;
            store.delete(&key).await.map_err(|error| failed(&error))?;
            bytes.map(Some).map_err(|error| failed(&error))
        }
        .boxed()
    }

    fn attempts(&self) -> u32 {
        // Each request has retries of its own; the second attempt is for an upload that S3 has lost.
        2
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

async fn put(
    bucket: Arc<Bucket>,
    picture: Picture,
    cancelled: CancellationToken,
    tasks: TaskTracker,
) -> Result<Object, StoreFailure> {
    let name = ImageName::random(picture.kind);
    let key = bucket.key(&name)?;
    let mut object = Object {
        bucket,
        key,
        tasks,
        may_exist: false,
    };
    object.write(picture, &cancelled).await?;
    Ok(object)
}

/// An object that is removed on drop unless it is kept. S3 may have stored it even if the put was cancelled or
/// the answer was an error.
struct Object {
    bucket: Arc<Bucket>,
    key: Path,
    tasks: TaskTracker,
    may_exist: bool,
}

impl Object {
    /// Keeps the object; returns its URL.
    fn keep(mut self) -> String {
        self.may_exist = false;
        self.bucket.url(&self.key)
    }

    async fn write(&mut self, picture: Picture, cancelled: &CancellationToken) -> Result<(), StoreFailure> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, picture.kind.media_type())]);
        let mut parts = Parts::new(picture.body, cancelled);
        let (store, key) = (&self.bucket.store, &self.key);
        let part = parts.next().await?;
        if part.len() < PART {
            self.may_exist = true;
            let put = store.put_opts(key, part.into(), attributes.into()).await;
            return put.map(drop).map_err(|error| failed(&error));
        }
        let upload = store.put_multipart_opts(key, attributes.into()).await;
        let mut upload = upload.map_err(|error| failed(&error))?;
        let mut written = parts.send(part, &mut *upload).await;
        if written.is_ok() {
            self.may_exist = true;
            written = upload.complete().await.map(drop).map_err(|error| failed(&error));
        }
        if written.is_err()
            && let Err(error) = upload.abort().await
            && !matches!(error, object_store::Error::NotFound { .. })
        {
            let error = failed(&error);
            tracing::warn!(%key, %error, "can't abort an incomplete upload: its parts stay until the bucket's lifecycle rule removes them");
        }
        written
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // A runtime that is shutting down starts no tasks: then the object stays, and nobody has its URL.
        if let (true, Ok(runtime)) = (self.may_exist, Handle::try_current()) {
            let (bucket, key) = (Arc::clone(&self.bucket), self.key.clone());
            self.tasks.spawn_on(async move { bucket.remove(&key).await }, &runtime);
        }
    }
}

impl Bucket {
    fn key(&self, name: &ImageName) -> Result<Path, StoreFailure> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| StoreFailure::Refused(error.to_string()))
    }

    /// The key of the picture at `url`, if it is one of ours. The prefix need not end with a slash.
    fn key_of(&self, url: &str) -> Option<Path> {
        let key = self.key(&ImageName::at_end_of(url)?).ok()?;
        (self.url(&key) == url).then_some(key)
    }

    async fn remove(&self, key: &Path) {
        if let Err(error) = self.store.delete(key).await {
            let error = failed(&error);
            tracing::warn!(%key, %error, "can't remove a picture whose upload was cancelled or has failed");
        }
    }

    /// The URL of the object at `key`, whose segments may need escaping.
    fn url(&self, key: &Path) -> String {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(key.parts().map(|part| part.as_ref().to_owned()));
        }
        url.into()
    }
}
