//! A scripted WeChat and image store, and a gateway between them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wxgate::account::AppId;
use wxgate::credentials::TokenCallError;
use wxgate::image_store::{ImageStore, Picture, StoreFailure};
use wxgate::picture::PictureKind;
use wxgate::settings;
use wxgate::store::{Claimed, Entry, Health, MemoryStore, SharedStore, StoreError, StoreFault};
use wxgate::upload::{MediaRelay, MediaSource, RelayParts, UploadError, UploadMetrics};
use wxgate::wechat::{CallError, MediaDownload, MediaId};

pub const PHOTO: &[u8] = include_bytes!("../fixtures/photos/portrait.jpg");
pub const URL_KEY: &str = "wxgate:media:wx0123456789abcdef:media-1";
pub const LEASE_KEY: &str = "wxgate:media-lock:{wxgate:media:wx0123456789abcdef:media-1}";
pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(30);

/// What WeChat answers to a download.
type Answer = Box<dyn Fn() -> Result<MediaDownload, TokenCallError> + Send + Sync>;

pub struct FakeWeChat {
    app_id: AppId,
    answer: Answer,
    downloads: AtomicUsize,
}

impl FakeWeChat {
    pub fn new(answer: impl Fn() -> Result<MediaDownload, TokenCallError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            app_id: "wx0123456789abcdef".to_owned().try_into().unwrap(),
            answer: Box::new(answer),
            downloads: AtomicUsize::new(0),
        })
    }

    /// Sends `content`, announced as it is.
    pub fn sending(content: &'static [u8]) -> Arc<Self> {
        Self::new(move || Ok(download(content, Some(content.len()))))
    }

    pub fn downloads(&self) -> usize {
        self.downloads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl MediaSource for FakeWeChat {
    fn app_id(&self) -> &AppId {
        &self.app_id
    }

    async fn fetch(&self, _: &MediaId) -> Result<MediaDownload, TokenCallError> {
        self.downloads.fetch_add(1, Ordering::SeqCst);
        (self.answer)()
    }
}

pub fn download(content: &'static [u8], announced: Option<usize>) -> MediaDownload {
    let (head, rest) = content.split_at(content.len().min(PictureKind::HEAD));
    MediaDownload {
        started: Instant::now(),
        content_type: None,
        content_length: announced.map(|length| length as u64),
        head: Bytes::from_static(head),
        rejection: None,
        rest: stream::iter(rest.chunks(10_000).map(|piece| Ok(Bytes::from_static(piece)))).boxed(),
    }
}

/// The same, but the content is followed by `end`.
pub fn download_then(content: &'static [u8], end: BoxStream<'static, Result<Bytes, CallError>>) -> MediaDownload {
    let whole = download(content, Some(content.len() + 1));
    MediaDownload {
        rest: whole.rest.chain(end).boxed(),
        ..whole
    }
}

/// A store that keeps what it is given, whole or not.
#[derive(Default)]
pub struct FakeStore {
    stored: Mutex<Vec<Vec<u8>>>,
    /// Bodies that ended in an error or were dropped.
    aborted: AtomicUsize,
    puts: AtomicUsize,
    /// How many puts fail before one succeeds, and how.
    failures: Mutex<Vec<StoreFailure>>,
    behaviour: Behaviour,
}

#[derive(Default)]
pub enum Behaviour {
    #[default]
    Good,
    /// Takes a picture whole, then waits for a permit.
    Waits(Semaphore),
    /// Reads nothing and does not answer.
    Hangs,
    /// Reports success before it has read anything.
    Lies,
    /// Panics, as a bug would.
    Panics,
}

struct Aborted<'a>(&'a FakeStore, bool);

impl Drop for Aborted<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.aborted.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl FakeStore {
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            behaviour,
            ..Self::default()
        })
    }

    /// One that takes pictures whole and then waits for [`FakeStore::let_go`].
    pub fn waiting() -> Arc<Self> {
        Self::new(Behaviour::Waits(Semaphore::new(0)))
    }

    /// Lets `puts` puts end.
    pub fn let_go(&self, puts: usize) {
        let Behaviour::Waits(permits) = &self.behaviour else {
            panic!("the store does not wait")
        };
        permits.add_permits(puts);
    }

    pub fn failing(failures: Vec<StoreFailure>) -> Arc<Self> {
        Arc::new(Self {
            failures: Mutex::new(failures),
            ..Self::default()
        })
    }

    pub fn stored(&self) -> Vec<Vec<u8>> {
        self.stored.lock().unwrap().clone()
    }

    pub fn aborted(&self) -> usize {
        self.aborted.load(Ordering::SeqCst)
    }

    pub fn puts(&self) -> usize {
        self.puts.load(Ordering::SeqCst)
    }

    async fn take(&self, mut picture: Picture) -> Result<String, StoreFailure> {
        let number = self.puts.fetch_add(1, Ordering::SeqCst);
        let mut aborted = Aborted(self, false);
        match &self.behaviour {
            Behaviour::Good | Behaviour::Waits(_) => {}
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Lies => return Ok("https://img.example.com/lie.jpg".to_owned()),
            Behaviour::Panics => panic!("the store's bug"),
        }
        let mut content = Vec::new();
        while let Some(piece) = picture.body.next().await {
            let piece = piece.map_err(|error: io::Error| StoreFailure::Broken(error.to_string()))?;
            assert!(piece.len() <= Picture::MAX_CHUNK, "a chunk of {} bytes", piece.len());
            content.extend_from_slice(&piece);
        }
        if let Behaviour::Waits(permits) = &self.behaviour {
            permits.acquire().await.unwrap().forget();
        }
        if let Some(failure) = self.failures.lock().unwrap().pop() {
            return Err(failure);
        }
        aborted.1 = true;
        assert_eq!(picture.length.unwrap_or(content.len() as u64), content.len() as u64);
        self.stored.lock().unwrap().push(content);
        Ok(format!("https://img.example.com/{number}.{}", picture.kind.extension()))
    }
}

#[async_trait]
impl ImageStore for FakeStore {
    async fn put(&self, picture: Picture) -> Result<String, StoreFailure> {
        self.take(picture).await
    }

    fn attempts(&self) -> u32 {
        3
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A shared store that is out of reach.
pub struct NoStore;

fn unreachable() -> StoreError {
    StoreError::new(StoreFault::Unreachable, "connection refused", "")
}

#[async_trait]
impl SharedStore for NoStore {
    async fn get(&self, _: &str) -> Result<Option<Entry>, StoreError> {
        Err(unreachable())
    }
    async fn set_if_absent(&self, _: &str, _: &str, _: Duration) -> Result<bool, StoreError> {
        Err(unreachable())
    }
    async fn compare_and_set(&self, _: &str, _: Option<&str>, _: &str, _: Duration) -> Result<bool, StoreError> {
        Err(unreachable())
    }
    async fn compare_and_delete(&self, _: &str, _: &str) -> Result<bool, StoreError> {
        Err(unreachable())
    }
    async fn claim(&self, _: &str, _: &str, _: &str, _: Duration) -> Result<Claimed, StoreError> {
        Err(unreachable())
    }
    async fn increment(&self, _: &str, _: Duration) -> Result<u64, StoreError> {
        Err(unreachable())
    }
    async fn append(&self, _: &str, _: &[(&'static str, String)], _: usize) -> Result<(), StoreError> {
        Err(unreachable())
    }
    async fn newest(&self, _: &str, _: usize) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        Err(unreachable())
    }
    fn health(&self) -> Health {
        Health {
            error: Some(unreachable()),
            since: Instant::now(),
        }
    }
    fn is_shared(&self) -> bool {
        true
    }
}

/// One gateway's relay.
pub struct Gateway {
    pub relay: Arc<MediaRelay>,
    tasks: TaskTracker,
    pub stop: CancellationToken,
    registry: Registry,
}

impl Gateway {
    pub fn new(store: &Arc<FakeStore>) -> Self {
        Self::build(store, Arc::new(MemoryStore::default()), |_| {})
    }

    pub fn build(
        store: &Arc<FakeStore>,
        shared: Arc<dyn SharedStore>,
        change: impl FnOnce(&mut settings::Media),
    ) -> Self {
        let mut media = settings::Media::default();
        change(&mut media);
        let (tasks, stop, registry) = (TaskTracker::new(), CancellationToken::new(), Registry::new());
        let relay = MediaRelay::new(RelayParts {
            media,
            media_timeout: MEDIA_TIMEOUT,
            images: Arc::clone(store) as _,
            shared,
            metrics: UploadMetrics::register(&registry).unwrap(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        Self {
            relay,
            tasks,
            stop,
            registry,
        }
    }

    pub async fn upload(&self, wechat: &Arc<FakeWeChat>) -> Result<Arc<str>, UploadError> {
        self.upload_id(wechat, "media-1").await
    }

    pub async fn upload_id(&self, wechat: &Arc<FakeWeChat>, id: &str) -> Result<Arc<str>, UploadError> {
        let source = Arc::clone(wechat) as Arc<dyn MediaSource>;
        self.relay.upload(&source, MediaId::parse(id).unwrap()).await
    }

    /// Waits until no upload is under way any more, as a draining gateway does.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        assert_eq!(self.in_flight(), 0.0);
    }

    /// A metric by its name and, if it has one, its `outcome`.
    pub fn metric(&self, name: &str, outcome: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let wanted = |metric: &&prometheus::proto::Metric| {
            outcome.is_none_or(|outcome| metric.get_label().iter().any(|label| label.value() == outcome))
        };
        let metric = family.get_metric().iter().find(wanted).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    pub fn in_flight(&self) -> f64 {
        self.metric("wxgate_uploads_in_flight", None)
    }

    pub fn count(&self, outcome: &str) -> f64 {
        self.metric("wxgate_uploads_total", Some(outcome))
    }
}

/// Polls until `condition` holds.
pub async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), holds)
        .await
        .expect("the condition was never met");
}

pub fn call_error(error: CallError) -> TokenCallError {
    TokenCallError::Call(error)
}
