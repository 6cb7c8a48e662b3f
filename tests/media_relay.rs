//! The relay between WeChat and the image store, over a WeChat and a store that do as they are told.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wxgate::account::AppId;
use wxgate::credentials::{TokenCallError, Unavailable};
use wxgate::image_store::{ImageStore, Picture, StoreFailure};
use wxgate::media::{MediaRelay, MediaSource, Rejection, UploadError, UploadMetrics};
use wxgate::picture::Kind;
use wxgate::settings;
use wxgate::store::{Entry, MemoryStore, SharedStore, StoreError, StoreFuture};
use wxgate::wechat::{BodyProblem, CallError, ErrCode, MediaDownload, MediaId};

const PHOTO: &[u8] = include_bytes!("fixtures/photos/portrait.jpg");
const URL_KEY: &str = "wxgate:media:wx0123456789abcdef:media-1";
const LEASE_KEY: &str = "wxgate:media-lock:wx0123456789abcdef:media-1";
const MEDIA_TIMEOUT: Duration = Duration::from_secs(30);

/// What WeChat answers to a download.
type Answer = Box<dyn Fn() -> Result<MediaDownload, TokenCallError> + Send + Sync>;

struct FakeWeChat {
    app_id: AppId,
    answer: Answer,
    downloads: AtomicUsize,
}

impl FakeWeChat {
    fn new(answer: impl Fn() -> Result<MediaDownload, TokenCallError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            app_id: "wx0123456789abcdef".to_owned().try_into().unwrap(),
            answer: Box::new(answer),
            downloads: AtomicUsize::new(0),
        })
    }

    /// Sends `content`, announced as it is.
    fn sending(content: &'static [u8]) -> Arc<Self> {
        Self::new(move || Ok(download(content, Some(content.len()))))
    }

    fn downloads(&self) -> usize {
        self.downloads.load(Ordering::SeqCst)
    }
}

impl MediaSource for FakeWeChat {
    fn app_id(&self) -> &AppId {
        &self.app_id
    }

    fn fetch<'a>(&'a self, _: &'a MediaId) -> BoxFuture<'a, Result<MediaDownload, TokenCallError>> {
        self.downloads.fetch_add(1, Ordering::SeqCst);
        std::future::ready((self.answer)()).boxed()
    }
}

fn download(content: &'static [u8], announced: Option<usize>) -> MediaDownload {
    let (head, rest) = content.split_at(content.len().min(Kind::HEAD));
    MediaDownload {
        content_length: announced.map(|length| length as u64),
        head: Bytes::from_static(head),
        rest: stream::iter(rest.chunks(10_000).map(|piece| Ok(Bytes::from_static(piece)))).boxed(),
    }
}

/// The same, but what follows the content is `end` rather than the end.
fn download_then(content: &'static [u8], end: BoxStream<'static, Result<Bytes, CallError>>) -> MediaDownload {
    let whole = download(content, Some(content.len() + 1));
    MediaDownload {
        rest: whole.rest.chain(end).boxed(),
        ..whole
    }
}

/// A store that keeps what it is given, whole or not.
#[derive(Default)]
struct FakeStore {
    stored: Mutex<Vec<Vec<u8>>>,
    /// Bodies that ended in an error or were dropped.
    aborted: AtomicUsize,
    puts: AtomicUsize,
    /// How many puts fail before one succeeds, and how.
    failures: Mutex<Vec<StoreFailure>>,
    behaviour: Behaviour,
}

#[derive(Default)]
enum Behaviour {
    #[default]
    Good,
    /// Takes a picture whole, then waits for a permit.
    Waits(Semaphore),
    /// Takes nothing, says nothing.
    Hangs,
    /// Says that all is well before it has seen anything.
    Lies,
    /// A bug.
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
    fn new(behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            behaviour,
            ..Self::default()
        })
    }

    fn failing(failures: Vec<StoreFailure>) -> Arc<Self> {
        Arc::new(Self {
            failures: Mutex::new(failures),
            ..Self::default()
        })
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        self.stored.lock().unwrap().clone()
    }

    fn aborted(&self) -> usize {
        self.aborted.load(Ordering::SeqCst)
    }

    fn puts(&self) -> usize {
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
            assert!(piece.len() <= Picture::PIECE, "a piece of {} bytes", piece.len());
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

impl ImageStore for FakeStore {
    fn put(&self, picture: Picture) -> BoxFuture<'_, Result<String, StoreFailure>> {
        self.take(picture).boxed()
    }

    fn attempts(&self) -> u32 {
        3
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A shared store that is out of reach.
struct NoStore;

fn out_of_reach<'a, T: Send + 'a>() -> StoreFuture<'a, T> {
    std::future::ready(Err(StoreError("connection refused".to_owned()))).boxed()
}

impl SharedStore for NoStore {
    fn get<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Option<Entry>> {
        out_of_reach()
    }
    fn set_if_absent<'a>(&'a self, _: &'a str, _: &'a str, _: Duration) -> StoreFuture<'a, bool> {
        out_of_reach()
    }
    fn compare_and_set<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: &'a str, _: Duration) -> StoreFuture<'a, bool> {
        out_of_reach()
    }
    fn compare_and_delete<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, bool> {
        out_of_reach()
    }
    fn increment<'a>(&'a self, _: &'a str, _: Duration) -> StoreFuture<'a, u64> {
        out_of_reach()
    }
    fn append<'a>(&'a self, _: &'a str, _: &'a [(&'static str, String)], _: usize) -> StoreFuture<'a, ()> {
        out_of_reach()
    }
    fn newest<'a>(&'a self, _: &'a str, _: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>> {
        out_of_reach()
    }
    fn ping(&self) -> StoreFuture<'_, ()> {
        out_of_reach()
    }
    fn is_shared(&self) -> bool {
        true
    }
}

/// One gateway's relay.
struct Gateway {
    relay: Arc<MediaRelay>,
    tasks: TaskTracker,
    stop: CancellationToken,
    registry: Registry,
}

impl Gateway {
    fn new(store: &Arc<FakeStore>) -> Self {
        Self::build(store, Arc::new(MemoryStore::default()), |_| {})
    }

    fn build(store: &Arc<FakeStore>, shared: Arc<dyn SharedStore>, change: impl FnOnce(&mut settings::Media)) -> Self {
        let mut settings = settings::Media::default();
        change(&mut settings);
        let (tasks, stop, registry) = (TaskTracker::new(), CancellationToken::new(), Registry::new());
        let metrics = UploadMetrics::register(&registry).unwrap();
        let store = Arc::clone(store) as Arc<dyn ImageStore>;
        let relay = MediaRelay::new(
            &settings,
            MEDIA_TIMEOUT,
            store,
            shared,
            metrics,
            tasks.clone(),
            stop.clone(),
        );
        Self {
            relay: Arc::new(relay),
            tasks,
            stop,
            registry,
        }
    }

    async fn upload(&self, wechat: &Arc<FakeWeChat>) -> Result<Arc<str>, UploadError> {
        self.upload_id(wechat, "media-1").await
    }

    async fn upload_id(&self, wechat: &Arc<FakeWeChat>, id: &str) -> Result<Arc<str>, UploadError> {
        let source = Arc::clone(wechat) as Arc<dyn MediaSource>;
        self.relay.upload(&source, MediaId::parse(id).unwrap()).await
    }

    /// Waits until no upload is under way any more, as a draining gateway does.
    async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        assert_eq!(self.relay.in_flight(), 0);
    }

    /// A metric by its name and, where it has one, its `outcome`.
    fn metric(&self, name: &str, outcome: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let wanted = |metric: &&prometheus::proto::Metric| {
            outcome.is_none_or(|outcome| metric.get_label().iter().any(|label| label.value() == outcome))
        };
        let metric = family.get_metric().iter().find(wanted).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    fn count(&self, outcome: &str) -> f64 {
        self.metric("wxgate_uploads_total", Some(outcome))
    }
}

/// Polls until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), holds)
        .await
        .expect("it never came to hold");
}

fn call_error(error: CallError) -> TokenCallError {
    TokenCallError::Call(error)
}

#[tokio::test]
async fn a_photo_is_stored_byte_for_byte_once_and_remembered() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let gateway = Gateway::new(&store);
    let url = gateway.upload(&wechat).await.unwrap();
    assert_eq!(&*url, "https://img.example.com/0.jpg");
    assert_eq!(gateway.upload(&wechat).await.unwrap(), url);
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((wechat.downloads(), store.aborted()), (1, 0));
    assert_eq!((gateway.count("stored"), gateway.count("remembered")), (1.0, 1.0));
    assert_eq!(gateway.metric("wxgate_upload_bytes_total", None), PHOTO.len() as f64);
    assert_eq!(gateway.metric("wxgate_uploads_in_flight", None), 0.0);
}

#[tokio::test(start_paused = true)]
async fn fifty_at_once_over_two_gateways_store_one_picture() {
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::new(Behaviour::Waits(Semaphore::new(0))),
    );
    let shared: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let gateways = [
        Gateway::build(&store, Arc::clone(&shared), |_| {}),
        Gateway::build(&store, shared, |_| {}),
    ];
    let uploads = join_all((0..50).map(|n| gateways[n % 2].upload(&wechat)));
    let let_go = async {
        until(|| store.puts() == 1).await;
        // Time for a second upload to begin, if there were one.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let Behaviour::Waits(permits) = &store.behaviour else {
            unreachable!()
        };
        permits.add_permits(50);
    };
    let (urls, ()) = tokio::join!(uploads, let_go);
    for url in urls {
        assert_eq!(&*url.unwrap(), "https://img.example.com/0.jpg");
    }
    assert_eq!((wechat.downloads(), store.puts()), (1, 1));
    let both = |outcome| gateways[0].count(outcome) + gateways[1].count(outcome);
    assert_eq!((both("stored"), both("remembered"), both("joined")), (1.0, 1.0, 48.0));
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_lose_the_photo() {
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::new(Behaviour::Waits(Semaphore::new(0))),
    );
    let gateway = Gateway::new(&store);
    tokio::select! {
        _ = gateway.upload(&wechat) => panic!("the store waits"),
        () = until(|| store.puts() == 1) => {}
    }
    assert_eq!(gateway.relay.in_flight(), 1);
    assert_eq!(gateway.metric("wxgate_uploads_in_flight", None), 1.0);
    let Behaviour::Waits(permits) = &store.behaviour else {
        unreachable!()
    };
    permits.add_permits(1);
    gateway.drain().await;
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!(
        &*gateway.upload(&wechat).await.unwrap(),
        "https://img.example.com/0.jpg"
    );
    assert_eq!(wechat.downloads(), 1);
}

#[tokio::test]
async fn an_upload_that_outlives_the_drain_is_cut_off_and_leaves_nothing() {
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::new(Behaviour::Waits(Semaphore::new(0))),
    );
    let shared = Arc::new(MemoryStore::default());
    let gateway = Gateway::build(&store, shared.clone(), |_| {});
    let stop = async {
        until(|| store.puts() == 1).await;
        gateway.stop.cancel();
        gateway.drain().await;
    };
    let (result, ()) = tokio::join!(gateway.upload(&wechat), stop);
    assert!(matches!(result, Err(UploadError::Lost)), "{result:?}");
    assert_eq!((store.aborted(), store.stored().len()), (1, 0));
    for key in [URL_KEY, LEASE_KEY] {
        assert_eq!(shared.get(key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_failure_is_nobodys_memory() {
    let calls = AtomicUsize::new(0);
    let wechat = FakeWeChat::new(move || {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            let message = "invalid media_id".to_owned();
            Err(call_error(CallError::Refused {
                code: ErrCode(40007),
                message,
            }))
        } else {
            Ok(download(PHOTO, None))
        }
    });
    let store = FakeStore::new(Behaviour::Good);
    let gateway = Gateway::new(&store);
    let error = gateway.upload(&wechat).await.unwrap_err();
    let UploadError::WeChat(TokenCallError::Call(error)) = error else {
        panic!("{error}")
    };
    assert_eq!(error.errcode(), Some(ErrCode(40007)));
    gateway.upload(&wechat).await.unwrap();
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((gateway.count("not_found"), gateway.count("stored")), (1.0, 1.0));
}

#[tokio::test]
async fn a_picture_of_exactly_the_limit_is_fine() {
    for announced in [Some(PHOTO.len()), None] {
        let store = FakeStore::new(Behaviour::Good);
        let limit = |media: &mut settings::Media| media.max_bytes = PHOTO.len() as u64;
        let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), limit);
        gateway
            .upload(&FakeWeChat::new(move || Ok(download(PHOTO, announced))))
            .await
            .unwrap();
        assert_eq!(store.stored(), [PHOTO]);
    }
}

#[tokio::test]
async fn one_byte_too_many_is_refused_announced_or_not() {
    let limit = PHOTO.len() as u64 - 1;
    for (announced, puts) in [(Some(PHOTO.len()), 0), (None, 1)] {
        let store = FakeStore::new(Behaviour::Good);
        let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), |media| {
            media.max_bytes = limit
        });
        let wechat = FakeWeChat::new(move || Ok(download(PHOTO, announced)));
        let error = gateway.upload(&wechat).await.unwrap_err();
        assert!(
            matches!(error, UploadError::Rejected(Rejection::TooLarge { limit: l }) if l == limit),
            "{error}"
        );
        assert_eq!((store.puts(), store.aborted(), store.stored().len()), (puts, puts, 0));
        assert_eq!((gateway.count("rejected"), wechat.downloads()), (1.0, 1));
    }
}

#[tokio::test]
async fn what_is_not_an_allowed_picture_never_reaches_the_store() {
    const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    const GZIP: &[u8] = &[0x1F, 0x8B, 0x08, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xD8, 0xFF];
    const PNG: &[u8] = include_bytes!("fixtures/photos/portrait.png");
    let store = FakeStore::new(Behaviour::Good);
    let only_jpeg = |media: &mut settings::Media| media.allowed_types = vec![Kind::Jpeg];
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), only_jpeg);
    for content in [
        SVG,
        GZIP,
        PNG,
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xFF",
        b"BM is a text",
    ] {
        let error = gateway.upload(&FakeWeChat::sending(content)).await.unwrap_err();
        assert!(
            matches!(error, UploadError::Rejected(Rejection::NotAPicture)),
            "{error}"
        );
    }
    let video = FakeWeChat::new(|| Err(call_error(CallError::Body(BodyProblem::Video))));
    let error = gateway.upload(&video).await.unwrap_err();
    assert!(matches!(error, UploadError::Rejected(Rejection::Video)), "{error}");
    let error = gateway.upload(&FakeWeChat::sending(b"")).await.unwrap_err();
    let empty = |error: &UploadError| {
        matches!(
            error,
            UploadError::WeChat(TokenCallError::Call(CallError::Body(BodyProblem::Empty)))
        )
    };
    assert!(empty(&error), "{error}");
    assert_eq!(store.puts(), 0);
    assert_eq!((gateway.count("rejected"), gateway.count("wechat_error")), (7.0, 1.0));
}

#[tokio::test]
async fn a_body_that_breaks_off_aborts_the_store_and_names_wechat() {
    let cut_off = |error: &CallError| matches!(error, CallError::Body(BodyProblem::CutOff));
    let interrupted = |error: &CallError| matches!(error, CallError::Interrupted(_));
    let unexpected = |error: &CallError| matches!(error, CallError::Body(BodyProblem::Unexpected));
    type Case = (fn(usize) -> MediaDownload, fn(&CallError) -> bool);
    let cases: [Case; 3] = [
        (
            |_| {
                download_then(
                    PHOTO,
                    stream::iter([Err(CallError::Interrupted("reset".to_owned()))]).boxed(),
                )
            },
            interrupted,
        ),
        (|length| download(PHOTO, Some(length + 1)), cut_off),
        (|length| download(PHOTO, Some(length - 1)), unexpected),
    ];
    for (answer, expected) in cases {
        let store = FakeStore::new(Behaviour::Good);
        let gateway = Gateway::new(&store);
        let wechat = FakeWeChat::new(move || Ok(answer(PHOTO.len())));
        let error = gateway.upload(&wechat).await.unwrap_err();
        let UploadError::WeChat(TokenCallError::Call(error)) = error else {
            panic!("{error}")
        };
        assert!(expected(&error), "{error}");
        assert_eq!((store.aborted(), store.stored().len()), (1, 0));
        assert_eq!(wechat.downloads(), 1, "WeChat's failures are not tried again here");
        assert_eq!(gateway.count("wechat_error"), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_that_takes_too_long_ends_and_names_wechat() {
    let store = FakeStore::new(Behaviour::Good);
    let gateway = Gateway::new(&store);
    let drip = || {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok(Bytes::from_static(b".")), ()))
        });
        Ok(MediaDownload {
            content_length: None,
            ..download_then(PHOTO, drops.boxed())
        })
    };
    let began = Instant::now();
    let error = gateway.upload(&FakeWeChat::new(drip)).await.unwrap_err();
    assert!(
        matches!(error, UploadError::WeChat(TokenCallError::Call(CallError::TimedOut))),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), MEDIA_TIMEOUT.as_secs());
    assert_eq!(
        (store.aborted(), store.stored().len(), gateway.count("timeout")),
        (1, 0, 1.0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_and_named() {
    let limits = [
        (Behaviour::Hangs, MEDIA_TIMEOUT),
        (
            Behaviour::Waits(Semaphore::new(0)),
            MEDIA_TIMEOUT + Duration::from_secs(10),
        ),
    ];
    for (behaviour, limit) in limits {
        let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(behaviour));
        let gateway = Gateway::new(&store);
        let began = Instant::now();
        let error = gateway.upload(&wechat).await.unwrap_err();
        assert!(matches!(error, UploadError::Store(StoreFailure::TimedOut)), "{error}");
        let (took, tries) = (began.elapsed(), limit * 3);
        assert!(took >= tries && took < tries + Duration::from_secs(1), "{took:?}");
        assert_eq!((store.puts(), store.aborted(), wechat.downloads()), (3, 3, 3));
    }
}

#[tokio::test]
async fn success_is_not_believed_before_the_picture_is_whole() {
    let store = FakeStore::new(Behaviour::Lies);
    let error = Gateway::new(&store)
        .upload(&FakeWeChat::sending(PHOTO))
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::Store(StoreFailure::Refused(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_moment_is_tried_again_with_a_fresh_download() {
    let failures = vec![StoreFailure::TimedOut, StoreFailure::Broken("reset".to_owned())];
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::failing(failures));
    let gateway = Gateway::new(&store);
    let began = Instant::now();
    gateway.upload(&wechat).await.unwrap();
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((wechat.downloads(), store.puts()), (3, 3));
    let paused = began.elapsed().as_millis();
    assert!(
        (300..=900).contains(&paused),
        "200 ms and 400 ms, each by 0.5 to 1.5: {paused} ms"
    );
    assert_eq!((gateway.count("stored"), gateway.count("store_error")), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_on_failing_is_given_up() {
    let refused = || StoreFailure::Refused("HTTP status 507".to_owned());
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::failing((0..4).map(|_| refused()).collect()),
    );
    let gateway = Gateway::new(&store);
    let error = gateway.upload(&wechat).await.unwrap_err();
    assert!(matches!(error, UploadError::Store(StoreFailure::Refused(_))), "{error}");
    assert_eq!((wechat.downloads(), gateway.count("store_error")), (3, 1.0));
}

#[tokio::test]
async fn a_full_gateway_says_so_at_once_but_still_joins_and_remembers() {
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::new(Behaviour::Waits(Semaphore::new(1))),
    );
    let one = |media: &mut settings::Media| media.max_concurrent = 1;
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), one);
    let known = gateway.upload_id(&wechat, "known").await.unwrap();
    let first = gateway.upload_id(&wechat, "first");
    let others = async {
        until(|| gateway.relay.in_flight() == 1).await;
        let error = gateway.upload_id(&wechat, "second").await.unwrap_err();
        assert!(
            matches!(error, UploadError::Overloaded { retry_after } if !retry_after.is_zero()),
            "{error}"
        );
        assert_eq!(gateway.upload_id(&wechat, "known").await.unwrap(), known);
        let Behaviour::Waits(permits) = &store.behaviour else {
            unreachable!()
        };
        permits.add_permits(2);
        gateway.upload_id(&wechat, "first").await.unwrap()
    };
    let (first, joined) = tokio::join!(first, others);
    assert_eq!(first.unwrap(), joined);
    gateway.upload_id(&wechat, "second").await.unwrap();
    assert_eq!((gateway.count("overloaded"), gateway.count("stored")), (1.0, 3.0));
}

#[tokio::test]
async fn without_memory_callers_still_share_an_upload_under_way() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    let forget = |media: &mut settings::Media| media.remember_for = Duration::ZERO;
    let gateway = Gateway::build(&store, shared.clone(), forget);
    let urls = join_all((0..10).map(|_| gateway.upload(&wechat))).await;
    assert!(
        urls.iter()
            .all(|url| url.as_deref().unwrap() == "https://img.example.com/0.jpg")
    );
    assert_eq!(wechat.downloads(), 1);
    assert_eq!(
        &*gateway.upload(&wechat).await.unwrap(),
        "https://img.example.com/1.jpg"
    );
    assert_eq!(shared.get(URL_KEY).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_url_is_remembered_for_as_long_as_the_operator_says_and_the_lease_returned() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    let gateway = Gateway::build(&store, shared.clone(), |_| {});
    let url = gateway.upload(&wechat).await.unwrap();
    let entry = shared.get(URL_KEY).await.unwrap().unwrap();
    let three_days = Duration::from_secs(72 * 3600);
    assert_eq!((entry.value.as_str(), entry.ttl), (&*url, Some(three_days)));
    assert_eq!(shared.get(LEASE_KEY).await.unwrap(), None);
    tokio::time::advance(three_days).await;
    assert_ne!(gateway.upload(&wechat).await.unwrap(), url);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_is_replaced_when_its_lease_ends() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    // What the dead one left: no URL, and a lease that nobody renews.
    assert!(
        shared
            .set_if_absent(LEASE_KEY, "the dead one", Duration::from_secs(10))
            .await
            .unwrap()
    );
    let gateway = Gateway::build(&store, shared, |_| {});
    let began = Instant::now();
    gateway.upload(&wechat).await.unwrap();
    let waited = began.elapsed().as_secs_f64();
    assert!((10.0..11.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_takes_long_keeps_its_lease() {
    let shared: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let slow = FakeWeChat::new(|| {
        let wait = tokio::time::sleep(Duration::from_secs(25));
        let late = stream::once(wait.map(|()| Ok(Bytes::from_static(b"."))));
        Ok(download_then(PHOTO, late.boxed()))
    });
    let store = FakeStore::new(Behaviour::Good);
    let gateways = [
        Gateway::build(&store, Arc::clone(&shared), |_| {}),
        Gateway::build(&store, shared, |_| {}),
    ];
    let (one, other) = tokio::join!(gateways[0].upload(&slow), gateways[1].upload(&slow));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(slow.downloads(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_replicas_upload_is_not_waited_for_without_end() {
    let shared = Arc::new(MemoryStore::default());
    assert!(
        shared
            .set_if_absent(LEASE_KEY, "one that never ends", Duration::from_secs(3600))
            .await
            .unwrap()
    );
    let gateway = Gateway::build(&FakeStore::new(Behaviour::Good), shared, |_| {});
    let error = gateway.upload(&FakeWeChat::sending(PHOTO)).await.unwrap_err();
    assert!(matches!(error, UploadError::TimedOut), "{error}");
}

#[tokio::test]
async fn a_shared_store_out_of_reach_stops_nobody() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let gateway = Gateway::build(&store, Arc::new(NoStore), |_| {});
    let urls = join_all((0..10).map(|_| gateway.upload(&wechat))).await;
    assert!(urls.iter().all(Result::is_ok));
    assert_eq!(store.stored(), [PHOTO], "once a process even so");
}

#[tokio::test]
async fn a_bug_in_an_upload_leaves_nobody_waiting() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Panics));
    let forget = |media: &mut settings::Media| media.remember_for = Duration::ZERO;
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), forget);
    for result in join_all((0..3).map(|_| gateway.upload(&wechat))).await {
        assert!(matches!(result, Err(UploadError::Lost)));
    }
    assert!(matches!(gateway.upload(&wechat).await, Err(UploadError::Lost)));
    assert_eq!(
        (wechat.downloads(), gateway.count("lost"), gateway.relay.in_flight()),
        (2, 2.0, 0)
    );
}

#[tokio::test]
async fn no_token_is_no_upload() {
    let wechat = FakeWeChat::new(|| {
        Err(TokenCallError::Unavailable(Unavailable {
            reason: "backing off".to_owned(),
            errcode: None,
            retry_after: Duration::from_secs(3),
        }))
    });
    let gateway = Gateway::new(&FakeStore::new(Behaviour::Good));
    let error = gateway.upload(&wechat).await.unwrap_err();
    assert!(
        matches!(error, UploadError::WeChat(TokenCallError::Unavailable(_))),
        "{error}"
    );
    assert_eq!((wechat.downloads(), gateway.count("unavailable")), (1, 1.0));
}
