//! The relay: from a media id to the stored picture's URL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::checked::{Checked, Progress, Stage};
use super::error::{Rejection, UploadError};
use super::metrics::{Outcome, UploadMetrics};
use super::once::{Keys, Once, Turn, jittered};
use super::source::MediaSource;
use crate::account::AppId;
use crate::credentials::TokenCallError;
use crate::flights::Flights;
use crate::image_store::{ImageStore, Picture, StoreFailure};
use crate::picture::Kind;
use crate::settings;
use crate::store::SharedStore;
use crate::telemetry::{call_span, millis, traced};
use crate::wechat::{BodyProblem, CallError, MediaDownload, MediaId};

/// The pause before a store that failed is tried again, on average; it doubles each time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause, on average.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(2);
/// When to come back to a gateway that is full: an upload rarely takes longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an upload ends in, for all its callers.
type UploadResult = Result<Arc<str>, UploadError>;

/// Carries photos from WeChat into the image store, each once. Cheap to share behind an [`Arc`].
pub struct MediaRelay {
    line: Arc<Line>,
    flights: Arc<Flights<(AppId, MediaId), UploadResult>>,
    tasks: TaskTracker,
}

impl MediaRelay {
    /// A relay into `store`.
    ///
    /// `media_timeout` is `wechat.media_timeout`; `shared` is where replicas remember what they stored;
    /// uploads run on `tasks`, so that whoever drains the gateway can wait for them, and are cut off by
    /// `stop`, when they have been waited for long enough: that leaves neither pictures nor locks behind.
    #[must_use]
    pub fn new(
        settings: &settings::Media,
        media_timeout: Duration,
        store: Arc<dyn ImageStore>,
        shared: Arc<dyn SharedStore>,
        metrics: UploadMetrics,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let all_tries = (media_timeout + store.time_limit()) * store.attempts();
        let max_concurrent = settings.max_concurrent.min(Semaphore::MAX_PERMITS);
        let line = Line {
            max_bytes: settings.max_bytes,
            allowed: settings.allowed_types.clone(),
            media_timeout,
            once: Once::new(shared, settings.remember_for, media_timeout, all_tries),
            store,
            places: Semaphore::new(max_concurrent),
            max_concurrent,
            metrics,
            stop,
        };
        Self {
            line: Arc::new(line),
            flights: Arc::default(),
            tasks,
        }
    }

    /// Brings `media_id` from `source` into the store, unless it is there already; answers its URL.
    ///
    /// The upload does not end with the caller: who hangs up and asks again gets its URL.
    pub async fn upload(&self, source: &Arc<dyn MediaSource>, media_id: MediaId) -> Result<Arc<str>, UploadError> {
        let photo = (source.app_id().clone(), media_id);
        let upload = || {
            let (line, source, media_id) = (Arc::clone(&self.line), Arc::clone(source), photo.1.clone());
            let upload = async move { line.carry(&*source, &media_id).await };
            // In the caller's span: the log of the upload bears the request's id, and it belongs to its trace.
            upload.in_current_span()
        };
        let (ticket, is_new) = self.flights.join(&photo, &self.tasks, upload);
        if !is_new {
            self.line.metrics.count(Outcome::Joined);
        }
        ticket.await.unwrap_or(Err(UploadError::Lost))
    }

    /// How many uploads are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.line.max_concurrent - self.line.places.available_permits()
    }
}

/// What an upload needs.
struct Line {
    max_bytes: u64,
    allowed: Vec<Kind>,
    media_timeout: Duration,
    store: Arc<dyn ImageStore>,
    once: Once,
    places: Semaphore,
    max_concurrent: usize,
    metrics: UploadMetrics,
    stop: CancellationToken,
}

impl Line {
    /// One upload from beginning to end, counted and logged.
    async fn carry(&self, source: &dyn MediaSource, media_id: &MediaId) -> UploadResult {
        let counted = Counted::new(&self.metrics);
        let result = self.stored_once(source, media_id).await;
        match &result {
            Ok((_, outcome)) => counted.end(*outcome),
            Err(error) => {
                let outcome = Outcome::from(error);
                counted.end(outcome);
                if outcome.is_callers_concern() {
                    tracing::debug!(app_id = %source.app_id(), %media_id, %error, "upload refused");
                } else {
                    tracing::warn!(app_id = %source.app_id(), %media_id, %error, "upload failed");
                }
            }
        }
        result.map(|(url, _)| url)
    }

    async fn stored_once(
        &self,
        source: &dyn MediaSource,
        media_id: &MediaId,
    ) -> Result<(Arc<str>, Outcome), UploadError> {
        let keys = Keys::of(source.app_id(), media_id);
        let Ok(_place) = self.places.try_acquire() else {
            // Even a full gateway can say what it remembers.
            let full = UploadError::Overloaded {
                retry_after: RETRY_AFTER,
            };
            let remembered = self.once.recall(&keys).await;
            return remembered.map(|url| (url, Outcome::Remembered)).ok_or(full);
        };
        let _under_way = self.metrics.under_way();
        let turn = self.stop.run_until_cancelled(self.once.turn(&keys)).await;
        match turn.ok_or(UploadError::Lost)?.ok_or(UploadError::TimedOut)? {
            Turn::Stored(url) => Ok((url, Outcome::Remembered)),
            Turn::Ours(lease) => {
                let work = async {
                    let stored = self.stop.run_until_cancelled(self.store_with_retries(source, media_id));
                    stored.await.unwrap_or(Err(UploadError::Lost))
                };
                let url = match lease {
                    Some(lease) => lease.during(work).await?,
                    None => work.await?,
                };
                Ok((url, Outcome::Stored))
            }
        }
    }

    /// Tries as often as the store allows, each time with a fresh download. Only the store's failures
    /// are tried again here: the download has its own ways (`credentials`, the client).
    async fn store_with_retries(&self, source: &dyn MediaSource, media_id: &MediaId) -> Result<Arc<str>, UploadError> {
        let mut pause = RETRY_PAUSE;
        for attempt in 1..self.store.attempts() {
            match self.store_fresh(source, media_id).await {
                Err(UploadError::Store(failure)) => {
                    tracing::warn!(app_id = %source.app_id(), %media_id, attempt, %failure, "the image store failed, trying again");
                }
                outcome => return outcome,
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
        self.store_fresh(source, media_id).await
    }

    /// One download into the store.
    async fn store_fresh(&self, source: &dyn MediaSource, media_id: &MediaId) -> Result<Arc<str>, UploadError> {
        let began = Instant::now();
        let download = source.fetch(media_id).await.map_err(refine)?;
        let overdue = Instant::now() + self.media_timeout;
        let kind = self.admit(&download)?;
        let length = download.content_length;
        let (body, progress) = Checked::new(download, self.max_bytes);
        let body = body.boxed();
        let put = self.store.put(Picture { kind, length, body });
        let stored = tokio::select! {
            biased;
            stored = traced(call_span("image_store", "put"), put) => stored.map_err(UploadError::Store),
            late = late(overdue, &progress, self.store.time_limit()) => Err(late),
        };
        let bytes = match (progress.now(), &stored) {
            // Whatever the store made of it: the picture never reached it whole.
            (Stage::Failed(error), _) => return Err(error),
            // The store's time went by while it waited for WeChat.
            (Stage::AtSource(_), Err(UploadError::Store(StoreFailure::TimedOut))) => return Err(wechat_timed_out()),
            (Stage::Complete(bytes), _) => bytes,
            (_, Ok(_)) => return Err(refused("it answered before it had the whole picture")),
            (_, Err(_)) => 0,
        };
        let url = Arc::from(stored?);
        self.metrics.count_bytes(bytes);
        let ms = millis(began.elapsed());
        tracing::debug!(app_id = %source.app_id(), %media_id, kind = kind.media_type(), bytes, ms, "picture stored");
        Ok(url)
    }

    /// The picture's kind, if what its beginning tells allows to store it.
    fn admit(&self, download: &MediaDownload) -> Result<Kind, UploadError> {
        let limit = self.max_bytes;
        if download.head.is_empty() {
            let nothing = CallError::Body(BodyProblem::Empty);
            return Err(UploadError::WeChat(TokenCallError::Call(nothing)));
        }
        if download.content_length.is_some_and(|length| length > limit) {
            return Err(UploadError::Rejected(Rejection::TooLarge { limit }));
        }
        Kind::sniff(&download.head)
            .filter(|kind| self.allowed.contains(kind))
            .ok_or(UploadError::Rejected(Rejection::NotAPicture))
    }
}

/// A video is no failure of WeChat's: the caller asked for the wrong thing.
fn refine(error: TokenCallError) -> UploadError {
    match error {
        TokenCallError::Call(CallError::Body(BodyProblem::Video)) => UploadError::Rejected(Rejection::Video),
        error => UploadError::WeChat(error),
    }
}

fn refused(why: &str) -> UploadError {
    UploadError::Store(StoreFailure::Refused(why.to_owned()))
}

fn wechat_timed_out() -> UploadError {
    UploadError::WeChat(TokenCallError::Call(CallError::TimedOut))
}

/// Waits until the download, or after it the store, has had its time; says who used it up.
async fn late(overdue: Instant, progress: &Progress, store_limit: Duration) -> UploadError {
    sleep_until(overdue).await;
    match progress.now() {
        Stage::AtSource(_) => return wechat_timed_out(),
        Stage::Complete(_) => sleep(store_limit).await,
        Stage::AtStore(_) | Stage::Failed(_) => {}
    }
    UploadError::Store(StoreFailure::TimedOut)
}

/// Counts an upload's outcome, also where it ends without one.
struct Counted<'a> {
    metrics: &'a UploadMetrics,
    outcome: Outcome,
}

impl<'a> Counted<'a> {
    fn new(metrics: &'a UploadMetrics) -> Self {
        Self {
            metrics,
            outcome: Outcome::Lost,
        }
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.count(self.outcome);
    }
}
