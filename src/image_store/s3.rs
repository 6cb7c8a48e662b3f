//! Pictures in an S3-compatible store.
//!
//! The body is gathered into parts of 5 MiB, the smallest that S3 takes, one at a time. A picture
//! that fits into one goes up in a single request, which S3 carries out whole or not at all; a larger
//! one in a multipart upload. Each put is a task of its own on the store's tracker: dropping its
//! future only tells it to stop, so that it can still take back what it began.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, RetryConfig,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure, body_failed};
use crate::http_client;
use crate::picture::Kind;
use crate::settings::{self, resolved};

/// What is gathered at most: S3's smallest part, except for a last one.
const PART: usize = 5 * 1024 * 1024;
/// One request, one part up at most.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The last part and the request that joins them, each with its retries.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// A bucket.
pub struct S3Store {
    bucket: Arc<Bucket>,
    tasks: TaskTracker,
}

/// The bucket itself, shared with the puts under way.
struct Bucket {
    store: AmazonS3,
    prefix: String,
    base: Url,
}

impl S3Store {
    /// A client for the bucket that `settings` describe, over connections as `http` has them; nothing is sent
    /// yet. Puts run on `tasks`.
    pub fn open(
        settings: &resolved::S3Store,
        http: &settings::HttpClient,
        tasks: &TaskTracker,
    ) -> Result<Self, OpenError> {
        let store = builder(settings)
            .with_http_connector(Connector::new(http)?)
            .build()
            .map_err(|error| OpenError::new("image_store.s3", error.to_string()))?;
        let bucket = Bucket {
            store,
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
        // An upload that is begun and aborted takes the very rights that puts need, and leaves nothing.
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
        // Each request has retries of its own; the second try is for an upload that S3 has lost.
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
) -> Result<Unkept, StoreFailure> {
    let name = ImageName::random(picture.kind);
    let key = bucket.key(&name)?;
    let mut object = Unkept {
        bucket,
        key,
        tasks,
        may_exist: false,
    };
    object.write(picture, &cancelled).await?;
    Ok(object)
}

/// An object that is removed unless it is kept: its put was dropped too late to be stopped, or has failed
/// by its answer, and who knows what S3 has done.
struct Unkept {
    bucket: Arc<Bucket>,
    key: Path,
    tasks: TaskTracker,
    may_exist: bool,
}

impl Unkept {
    /// Keeps the object; answers its URL.
    fn keep(mut self) -> String {
        self.may_exist = false;
        self.bucket.url(&self.key)
    }

    async fn write(&mut self, picture: Picture, cancelled: &CancellationToken) -> Result<(), StoreFailure> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, picture.kind.media_type())]);
        let mut parts = Parts {
            body: picture.body,
            rest: Bytes::new(),
            cancelled,
        };
        let (store, key) = (&self.bucket.store, &self.key);
        let part = parts.next().await?;
        if part.len() < PART {
            let options = PutOptions {
                attributes,
                ..PutOptions::default()
            };
            self.may_exist = true;
            let put = store.put_opts(key, part.into(), options).await;
            return put.map(drop).map_err(|error| failed(&error));
        }
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let upload = store.put_multipart_opts(key, options).await;
        let mut upload = upload.map_err(|error| failed(&error))?;
        let mut written = send(&mut *upload, part, &mut parts).await;
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

impl Drop for Unkept {
    fn drop(&mut self) {
        // A runtime that is shutting down runs nothing any more: then the object stays, unnamed.
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

    /// The key of the picture at `url`, if it is one of ours. The prefix may end in the middle of a name.
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

    /// The address of the object at `key`, whose parts may need escaping.
    fn url(&self, key: &Path) -> String {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(key.parts().map(|part| part.as_ref().to_owned()));
        }
        url.into()
    }
}

/// Has `object_store` use the gateway's client, so that `[http_client]` holds for S3 as for all else.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl Connector {
    fn new(http: &settings::HttpClient) -> Result<Self, OpenError> {
        let client = http_client::build_with(http, CONNECT_TIMEOUT, |client| client.timeout(REQUEST_TIMEOUT));
        client
            .map(Self)
            .map_err(|error| OpenError::new(error.key(), error.to_string()))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn builder(settings: &resolved::S3Store) -> AmazonS3Builder {
    let retries = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: REQUEST_TIMEOUT,
    };
    let mut builder = AmazonS3Builder::new()
        .with_retry(retries)
        .with_region(&settings.region)
        .with_bucket_name(&settings.bucket)
        .with_virtual_hosted_style_request(!settings.path_style);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    match &settings.keys {
        Some(keys) => builder
            .with_access_key_id(keys.id.expose())
            .with_secret_access_key(keys.secret.expose()),
        None => with_role(builder),
    }
}

/// Where the role of a container or a pod is told: variables that ECS and EKS set. On EC2 nothing is needed.
const ROLE: [(&str, AmazonS3ConfigKey); 7] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
];

/// The machine's role, if there are no keys. No other variable of AWS's is read: an endpoint or a key of another
/// program's would be taken for ours.
fn with_role(builder: AmazonS3Builder) -> AmazonS3Builder {
    ROLE.into_iter().fold(builder, |builder, (name, key)| {
        match std::env::var(name).ok().filter(|value| !value.is_empty()) {
            Some(value) => builder.with_config(key, value),
            None => builder,
        }
    })
}

/// A picture's body, cut into parts.
struct Parts<'a> {
    body: BoxStream<'static, io::Result<Bytes>>,
    /// What the last part had no room for: all parts but the last are of one size, as some stores want.
    rest: Bytes,
    cancelled: &'a CancellationToken,
}

impl Parts<'_> {
    /// The next part; a shorter one than [`PART`] is the last.
    async fn next(&mut self) -> Result<Bytes, StoreFailure> {
        // What is not written to costs no memory, so the length need not be known.
        let mut part = BytesMut::with_capacity(PART);
        loop {
            let room = PART - part.len();
            part.extend_from_slice(&self.rest.split_to(room.min(self.rest.len())));
            if part.len() == PART {
                return Ok(part.freeze());
            }
            let piece = self.cancelled.run_until_cancelled(self.body.next()).await;
            match piece.ok_or_else(stopped)? {
                Some(piece) => self.rest = piece.map_err(|error| body_failed(&error))?,
                None => return Ok(part.freeze()),
            }
        }
    }
}

/// Sends `part` and all that follow, one at a time: the memory of one is free before the next is
/// gathered.
async fn send(upload: &mut dyn MultipartUpload, mut part: Bytes, parts: &mut Parts<'_>) -> Result<(), StoreFailure> {
    while !part.is_empty() {
        let is_last = part.len() < PART;
        let sent = parts.cancelled.run_until_cancelled(upload.put_part(part.into())).await;
        sent.ok_or_else(stopped)?.map_err(|error| failed(&error))?;
        if is_last {
            break;
        }
        part = parts.next().await?;
    }
    Ok(())
}

fn stopped() -> StoreFailure {
    StoreFailure::Broken("the upload was cancelled".to_owned())
}

fn failed(error: &object_store::Error) -> StoreFailure {
    let mut chain = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    match chain.find_map(|error| error.downcast_ref::<HttpError>()) {
        Some(error) if error.kind() == HttpErrorKind::Timeout => StoreFailure::TimedOut,
        Some(error) => StoreFailure::Broken(http_client::cause(error)),
        None => StoreFailure::Refused(answer(&error.to_string())),
    }
}

/// What S3 answered: its status and its error code. The rest of such an answer repeats the request,
/// the access key's id among it, and stays out of the log.
fn answer(text: &str) -> String {
    let between = |before, after| Some(text.split_once(before)?.1.split_once(after)?.0);
    let status = between("status code: ", ":");
    let code = between("<Code>", "</Code>");
    match (status, code) {
        (Some(status), Some(code)) => format!("HTTP status {status}, {code}"),
        (Some(status), None) => format!("HTTP status {status}"),
        _ => "with an answer that S3 does not give".to_owned(),
    }
}
