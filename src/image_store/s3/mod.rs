//! Pictures in an S3-compatible store.
//!
//! The body is collected into parts of 5 MiB, the minimum that S3 accepts, one at a time. A picture that fits into one
//! part is sent in a single request, which is atomic; a larger one in a multipart upload. Each put is a task of its own
//! on the store's tracker: dropping its future only cancels it, so that it can still remove what it has written.

mod client;
mod error;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Attribute, Attributes, MultipartId, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::client::BucketClients;
use self::error::failed;
use super::{CACHE_CONTROL, ImageName, ImageStore, Picture, StoreFailure, body_failed};
use crate::settings::{self, UnusableSetting, resolved};

/// For the last part and the request that completes the upload, each with its retries.
const TIME_LIMIT: Duration = Duration::from_secs(90);
/// The time limit for getting the machine's role, which is quick if there is one.
const ROLE_LIMIT: Duration = Duration::from_secs(5);

/// A bucket.
pub struct S3Store {
    bucket: Arc<Bucket>,
}

/// The bucket itself, shared with the puts in progress.
struct Bucket {
    clients: BucketClients,
    tasks: TaskTracker,
    /// Whether requests are signed with the machine's role.
    with_role: bool,
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
    ) -> Result<Self, UnusableSetting> {
        let bucket = Bucket {
            clients: client::open(settings, http)?,
            tasks: tasks.clone(),
            with_role: settings.section.keys().is_none(),
            prefix: settings.section.prefix.clone(),
            base: settings.public_base_url.clone(),
        };
        Ok(Self {
            bucket: Arc::new(bucket),
        })
    }
}

#[async_trait]
impl ImageStore for S3Store {
    async fn put(&self, picture: Picture) -> Result<String, StoreFailure> {
        let mut object = Object {
            bucket: Arc::clone(&self.bucket),
            key: self.bucket.key(&ImageName::random(picture.kind))?,
            may_exist: false,
        };
        let token = CancellationToken::new();
        let cancelled = token.clone();
        let put = async move {
            object.write(picture, &cancelled).await?;
            Ok::<_, StoreFailure>(object)
        };
        let _cancels_when_dropped = token.drop_guard();
        let interrupted = |_| StoreFailure::Broken("the upload was interrupted".to_owned());
        let object = self.bucket.tasks.spawn(put).await.map_err(interrupted)??;
        Ok(object.keep())
    }

    async fn take_back(&self, url: &str) -> Result<Option<Bytes>, StoreFailure> {
        let Some(key) = self.bucket.key_of(url) else {
            return Ok(None);
        };
        let store = &self.bucket.clients.plain;
        let read = async { store.get(&key).await?.bytes().await };
        let bytes = read.await;
        store.delete(&key).await.map_err(|error| failed(&error))?;
        bytes.map(Some).map_err(|error| failed(&error))
    }

    fn attempts(&self) -> u32 {
        // Each request has its own retries; the second attempt is for an upload that S3 has lost.
        2
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

/// An object that is removed on drop unless it is kept. S3 may have stored it even if the put was cancelled or the answer
/// was an error.
struct Object {
    bucket: Arc<Bucket>,
    key: Path,
    may_exist: bool,
}

impl Object {
    /// Keeps the object; returns its URL.
    fn keep(mut self) -> String {
        self.may_exist = false;
        self.bucket.url(&self.key)
    }

    async fn write(&mut self, picture: Picture, cancelled: &CancellationToken) -> Result<(), StoreFailure> {
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, picture.kind.media_type()),
            (Attribute::CacheControl, CACHE_CONTROL),
        ]);
        let mut parts = BodyParts {
            body: picture.body,
            rest: Bytes::new(),
            cancelled,
        };
        let part = parts.next().await?;
        self.bucket.check_role().await?;
        let (clients, key) = (&self.bucket.clients, &self.key);
        if part.len() < PART {
            self.may_exist = true;
            let put = clients.creating.put_opts(key, part.into(), attributes.into()).await;
            return put.map(drop).map_err(|error| failed(&error));
        }
        let id = clients.creating.create_multipart_opts(key, attributes.into()).await;
        let id = id.map_err(|error| failed(&error))?;
        let sent = parts.send(part, &clients.plain, key, &id).await;
        let written = match sent {
            Ok(sent) => {
                self.may_exist = true;
                let completed = clients.plain.complete_multipart(key, &id, sent).await;
                completed.map(drop).map_err(|error| failed(&error))
            }
            Err(failure) => Err(failure),
        };
        if written.is_err()
            && let Err(error) = clients.plain.abort_multipart(key, &id).await
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
        // If the runtime is shutting down, no task can be started: then the object stays, but nobody has its URL.
        if let (true, Ok(runtime)) = (self.may_exist, Handle::try_current()) {
            let (bucket, key) = (Arc::clone(&self.bucket), self.key.clone());
            let remove = async move { bucket.remove(&key).await };
            self.bucket.tasks.spawn_on(remove, &runtime);
        }
    }
}

impl Bucket {
    /// Fails with advice if there are neither keys nor a role: a request's error would not give any. The role's
    /// credentials are cached until they expire, so this costs nothing.
    async fn check_role(&self) -> Result<(), StoreFailure> {
        if !self.with_role {
            return Ok(());
        }
        let role = timeout(ROLE_LIMIT, self.clients.plain.credentials().get_credential()).await;
        let cause = match role {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => failed(&error).to_string(),
            Err(_) => "it did not answer in time".to_owned(),
        };
        Err(StoreFailure::Broken(format!(
            "no image_store.s3.access_key_id is set, and this machine has no role to use instead ({cause})"
        )))
    }

    fn key(&self, name: &ImageName) -> Result<Path, StoreFailure> {
        Path::parse(format!("{}{}", self.prefix, name.as_str()))
            .map_err(|error| StoreFailure::Refused(error.to_string()))
    }

    /// The key of the picture at `url`, if it is one of ours. The prefix need not end with a slash.
    fn key_of(&self, url: &str) -> Option<Path> {
        let key = self.key(&ImageName::at_end_of(url)?).ok()?;
        (self.url(&key) == url).then_some(key)
    }

    async fn remove(&self, key: &Path) {
        if let Err(error) = self.clients.plain.delete(key).await {
            let error = failed(&error);
            tracing::warn!(%key, %error, "can't remove a picture whose upload was cancelled or has failed");
        }
    }

    /// The URL of the object at `key`, whose segments may need escaping.
    fn url(&self, key: &Path) -> String {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(key.parts());
        }
        url.into()
    }
}

/// The size of a part: the minimum that S3 accepts, except for the last one.
const PART: usize = 5 * 1024 * 1024;

/// A picture's body, cut into parts.
struct BodyParts<'a> {
    body: BoxStream<'static, io::Result<Bytes>>,
    /// What did not fit into the previous part: some stores require all parts except the last to have the same size.
    rest: Bytes,
    cancelled: &'a CancellationToken,
}

impl BodyParts<'_> {
    /// The next part; one shorter than [`PART`] is the last.
    async fn next(&mut self) -> Result<Bytes, StoreFailure> {
        // Reserved at full size: pages that are never written take no memory.
        let mut part = BytesMut::with_capacity(PART);
        loop {
            let room = PART - part.len();
            part.extend_from_slice(&self.rest.split_to(room.min(self.rest.len())));
            if part.len() == PART {
                return Ok(part.freeze());
            }
            let chunk = self.cancelled.run_until_cancelled(self.body.next()).await;
            match chunk.ok_or_else(cancelled)? {
                Some(chunk) => self.rest = chunk.map_err(|error| body_failed(&error))?,
                None => return Ok(part.freeze()),
            }
        }
    }

    /// Sends `part` and all that follow, one at a time: the memory of one is freed before the next is collected. Returns
    /// the ids that complete the upload `id`.
    async fn send(
        &mut self,
        mut part: Bytes,
        store: &AmazonS3,
        key: &Path,
        id: &MultipartId,
    ) -> Result<Vec<PartId>, StoreFailure> {
        let mut sent = Vec::new();
        while !part.is_empty() {
            let is_last = part.len() < PART;
            let put = store.put_part(key, id, sent.len(), part.into());
            let put = self.cancelled.run_until_cancelled(put).await;
            sent.push(put.ok_or_else(cancelled)?.map_err(|error| failed(&error))?);
            if is_last {
                break;
            }
            part = self.next().await?;
        }
        Ok(sent)
    }
}

fn cancelled() -> StoreFailure {
    StoreFailure::Broken("the upload was cancelled".to_owned())
}
