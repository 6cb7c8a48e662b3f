//! The entry point of uploads: concurrent callers share one task per photo. The task downloads the photo from WeChat,
//! checks it and stores it, with retries, at most once in the cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::check::{CheckedBody, Stage};
use super::once::{Keys, Once, Turn, jittered};
use super::outcome::{Rejection, UploadError, UploadMetrics, UploadOutcome};
use crate::account::AppId;
use crate::credentials::{AccountCredentials, Credential, Recognised, TokenCallError, Unavailable};
use crate::image_store::{ImageStore, Picture, StoreFailure};
use crate::picture::{Content, PictureKind};
use crate::settings;
use crate::single_flight::SingleFlight;
use crate::store::SharedStore;
use crate::telemetry::{call_span, millis, traced};
use crate::wechat::{BodyProblem, CallError, ErrCode, MEDIA_PATH, MediaDownload, MediaId, WeChatClient, what_to_do};

/// The average pause before the first retry after a failure of the store; it doubles each time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The maximum of that pause, on average.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(2);
/// `Retry-After` when all permits are taken: an upload rarely takes longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The result of an upload, shared by all its callers.
type UploadResult = Result<Arc<str>, UploadError>;

/// What a [`MediaRelay`] is built from.
pub struct RelayParts {
    /// The settings of uploads.
    pub media: settings::Media,
    /// `wechat.media_timeout`.
    pub media_timeout: Duration,
    /// Where photos are stored.
    pub images: Arc<dyn ImageStore>,
    /// Where replicas remember what they have stored.
    pub shared: Arc<dyn SharedStore>,
    /// Counts the uploads.
    pub metrics: UploadMetrics,
    /// Where uploads run, so that the drain can wait for them.
    pub tasks: TaskTracker,
    /// Cancelled when the drain has taken too long. Uploads then remove what they have written, and release their leases.
    pub stop: CancellationToken,
}

/// Relays photos from WeChat into the image store, each once.
pub struct MediaRelay {
    parts: RelayParts,
    once: Once,
    permits: Semaphore,
    single_flight: Arc<SingleFlight<(AppId, MediaId), UploadResult>>,
}

impl MediaRelay {
    /// A relay built from `parts`.
    pub fn new(parts: RelayParts) -> Arc<Self> {
        let (shared, media, timeout) = (Arc::clone(&parts.shared), &parts.media, parts.media_timeout);
        let all_attempts = (timeout + parts.images.time_limit()) * parts.images.attempts();
        Arc::new(Self {
            once: Once::new(shared, media.remember_for, timeout, all_attempts),
            permits: Semaphore::new(media.max_concurrent.min(Semaphore::MAX_PERMITS)),
            single_flight: Arc::default(),
            parts,
        })
    }

    /// Stores the photo `media_id` of `source`, unless it is already stored, and returns its URL.
    ///
    /// The upload outlives its caller: one that hangs up and asks again gets the URL.
    pub async fn upload(
        self: &Arc<Self>,
        source: &Arc<dyn MediaSource>,
        media_id: MediaId,
    ) -> Result<Arc<str>, UploadError> {
        let photo = (source.app_id().clone(), media_id);
        let start = || {
            let (relay, source, media_id) = (Arc::clone(self), Arc::clone(source), photo.1.clone());
            async move { relay.run(&*source, &media_id).await }
        };
        let RelayParts { tasks, metrics, .. } = &self.parts;
        let (pending, is_new) = self.single_flight.join_or_start(&photo, tasks, start);
        if !is_new {
            metrics.count(UploadOutcome::Joined);
        }
        let ended = pending.await;
        if ended.is_err() && is_new {
            // The task ended without a result, so it has not counted one.
            metrics.count(UploadOutcome::Lost);
        }
        ended.unwrap_or(Err(UploadError::Lost))
    }

    /// One upload from start to end, counted and logged.
    async fn run(&self, source: &dyn MediaSource, media_id: &MediaId) -> UploadResult {
        let result = self.find_or_upload(source, media_id).await;
        let outcome = result
            .as_ref()
            .map_or_else(UploadOutcome::from, |(_, outcome)| *outcome);
        self.parts.metrics.count(outcome);
        if let Err(error) = &result {
            log_failure(source.app_id(), media_id, error, outcome);
        }
        result.map(|(url, _)| url)
    }

    /// The remembered URL; otherwise uploads, once it is this replica's turn.
    async fn find_or_upload(
        &self,
        source: &dyn MediaSource,
        media_id: &MediaId,
    ) -> Result<(Arc<str>, UploadOutcome), UploadError> {
        let keys = Keys::of(source.app_id(), media_id);
        let Ok(_permit) = self.permits.try_acquire() else {
            // Even a gateway at its limit can return remembered URLs.
            let full = UploadError::Overloaded {
                retry_after: RETRY_AFTER,
            };
            let remembered = self.once.recall(&keys).await;
            return remembered.map(|url| (url, UploadOutcome::Remembered)).ok_or(full);
        };
        let _in_flight = self.parts.metrics.in_flight();
        let turn = self.once.wait_for_turn(&keys);
        let turn = self.parts.stop.run_until_cancelled(turn).await;
        match turn.ok_or(UploadError::Lost)?.ok_or(UploadError::TimedOut)? {
            Turn::Stored(url) => Ok((url, UploadOutcome::Remembered)),
            Turn::Ours(lease) => {
                let work = async {
                    let upload = self.upload_with_retries(source, media_id);
                    let stored = self.parts.stop.run_until_cancelled(upload).await;
                    stored.unwrap_or(Err(UploadError::Lost))
                };
                let url = match lease {
                    Some(lease) => lease.during(work).await?,
                    None => work.await?,
                };
                Ok((url, UploadOutcome::Stored))
            }
        }
    }

    /// Makes as many attempts as the store allows, each with a fresh download. Only temporary failures of the store are
    /// retried here: `credentials` and the WeChat client have their own retries.
    async fn upload_with_retries(&self, source: &dyn MediaSource, media_id: &MediaId) -> UploadResult {
        let mut pause = RETRY_PAUSE;
        for attempt in 1..self.parts.images.attempts() {
            match self.download_into_store(source, media_id).await {
                Err(UploadError::Store(failure)) if failure.is_transient() => {
                    let (app_id, media_id) = (source.app_id(), media_id.start());
                    tracing::warn!(%app_id, media_id, attempt, %failure, "the image store failed, trying again");
                }
                outcome => return outcome,
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
        self.download_into_store(source, media_id).await
    }

    /// One attempt: one download, streamed into the store.
    async fn download_into_store(&self, source: &dyn MediaSource, media_id: &MediaId) -> UploadResult {
        let began = Instant::now();
        let download = source.fetch(media_id).await.map_err(reject_video)?;
        let deadline = download.started + self.parts.media_timeout;
        let kind = self.check_head(&download)?;
        let length = download.content_length;
        let (body, progress) = CheckedBody::new(download, self.parts.media.max_bytes);
        let body = body.boxed();
        let put = self.parts.images.put(Picture { kind, length, body });
        let stored = tokio::select! {
            biased;
            stored = traced(call_span("image_store", "put"), put) => stored.map_err(UploadError::Store),
            timed_out = time_out(deadline, &progress, self.parts.images.time_limit()) => Err(timed_out),
        };
        let stage = progress.lock().clone();
        let bytes = match (stage, &stored) {
            // Whatever the store says, it did not get the whole picture.
            (Stage::Failed(error), _) => return Err(error),
            // The store timed out while it waited for WeChat.
            (Stage::WaitingForWeChat(_), Err(UploadError::Store(StoreFailure::TimedOut))) => {
                return Err(CallError::TimedOut.into());
            }
            (Stage::Complete(bytes), _) => bytes,
            (_, Ok(_)) => {
                let early = "it answered before it received the whole picture".to_owned();
                return Err(UploadError::Store(StoreFailure::Refused(early)));
            }
            (_, Err(_)) => 0,
        };
        let url = Arc::from(stored?);
        self.parts.metrics.count_bytes(bytes);
        let ms = millis(began.elapsed());
        let (app_id, media_id) = (source.app_id(), media_id.start());
        tracing::debug!(%app_id, media_id, kind = kind.media_type(), bytes, ms, "picture stored");
        Ok(url)
    }

    /// The picture's kind, if its first bytes and its announced length permit storing it.
    fn check_head(&self, download: &MediaDownload) -> Result<PictureKind, UploadError> {
        let limit = self.parts.media.max_bytes;
        if download.head.is_empty() {
            return Err(CallError::Body(BodyProblem::Empty).into());
        }
        let bytes = download.content_length;
        let allowed = PictureKind::sniff(&download.head).filter(|kind| self.parts.media.allowed_types.contains(kind));
        let rejection = match allowed {
            Some(_) if bytes.is_some_and(|bytes| bytes > limit) => Rejection::TooLarge { limit, bytes },
            Some(kind) => return Ok(kind),
            None => Rejection::NotAPicture {
                found: Content::with_type(&download.head, download.content_type.as_deref()),
                bytes,
            },
        };
        Err(UploadError::Rejected(rejection))
    }
}

/// Logs a failure with what an operator needs to know.
fn log_failure(app_id: &AppId, media_id: &MediaId, error: &UploadError, outcome: UploadOutcome) {
    let media_id = media_id.start();
    let cure = match error {
        UploadError::WeChat(TokenCallError::Call(error)) => error.cure(ErrCode::meaning),
        _ => None,
    };
    let cure = what_to_do(cure.as_deref());
    match (outcome, error) {
        (_, UploadError::Rejected(rejection)) => {
            let (found, bytes) = (rejection.found(), rejection.bytes());
            tracing::info!(%app_id, media_id, found, bytes, "photo refused: {rejection}");
        }
        (UploadOutcome::NotFound, _) => tracing::info!(%app_id, media_id, "photo not found: {error}{cure}"),
        (UploadOutcome::Overloaded, _) => tracing::debug!(%app_id, media_id, "upload refused: {error}"),
        _ => tracing::warn!(%app_id, media_id, "upload failed: {error}{cure}"),
    }
}

/// A video is not a failure of WeChat's: the caller asked for the wrong media.
fn reject_video(error: TokenCallError) -> UploadError {
    match error {
        TokenCallError::Call(CallError::Body(BodyProblem::Video)) => UploadError::Rejected(Rejection::Video),
        error => UploadError::WeChat(error),
    }
}

/// Waits until the download, or after it the store, has timed out, and returns that side's error.
async fn time_out(deadline: Instant, progress: &Mutex<Stage>, store_limit: Duration) -> UploadError {
    sleep_until(deadline).await;
    let stage = progress.lock().clone();
    match stage {
        Stage::WaitingForWeChat(_) => return CallError::TimedOut.into(),
        Stage::Complete(_) => sleep(store_limit).await,
        Stage::WaitingForStore(_) | Stage::Failed(_) => {}
    }
    UploadError::Store(StoreFailure::TimedOut)
}

/// One account's media.
#[async_trait]
pub trait MediaSource: Send + Sync {
    /// The account.
    fn app_id(&self) -> &AppId;

    /// Starts to download `media_id`. The caller limits the whole download, counted from [`MediaDownload::started`]; each
    /// wait for the next chunk has its own limit.
    async fn fetch(&self, media_id: &MediaId) -> Result<MediaDownload, TokenCallError>;
}

/// The media of a WeChat account.
pub struct WeChatMedia {
    client: Arc<WeChatClient>,
    account: Arc<AccountCredentials>,
}

impl WeChatMedia {
    /// The media of `account`, fetched by `client`.
    pub(crate) fn new(client: Arc<WeChatClient>, account: Arc<AccountCredentials>) -> Self {
        Self { client, account }
    }
}

#[async_trait]
impl MediaSource for WeChatMedia {
    fn app_id(&self) -> &AppId {
        self.account.app_id()
    }

    async fn fetch(&self, media_id: &MediaId) -> Result<MediaDownload, TokenCallError> {
        let mut errcode = None;
        for _ in 0..2 {
            let call = move |token: Arc<Credential>| async move {
                let download = self.client.media(&token.value, media_id).await?;
                Ok((token, download))
            };
            let (used, mut download) = self.account.with_token(call).await?;
            let Some(rejection) = download.rejection.take() else {
                return Ok(download);
            };
            errcode = rejection.error.errcode();
            let ours = self.account.recognise_here(&used.value).unwrap_or(Recognised::Former);
            let token = self.account.token_after_rejection(&ours, MEDIA_PATH, rejection).await?;
            if token.value == used.value {
                // The token is good, so this is a file that only reads like a rejection.
                return Ok(download);
            }
        }
        let why = Unavailable::soon("two WeChat answers in a row may be rejections of the access_token");
        Err(Unavailable { errcode, ..why }.into())
    }
}
