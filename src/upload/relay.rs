//! The relay's front: one upload per photo for all the callers of this process, each as a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::error::UploadError;
use super::metrics::{Outcome, UploadMetrics};
use super::once::Once;
use super::source::MediaSource;
use super::uploader::{UploadResult, Uploader};
use crate::account::AppId;
use crate::image_store::ImageStore;
use crate::settings;
use crate::single_flight::SingleFlight;
use crate::store::SharedStore;
use crate::wechat::MediaId;

/// Relays photos from WeChat into the image store, each once. Cheap to share behind an [`Arc`].
pub struct MediaRelay {
    uploader: Arc<Uploader>,
    single_flight: Arc<SingleFlight<(AppId, MediaId), UploadResult>>,
    tasks: TaskTracker,
}

impl MediaRelay {
    /// A relay into `store`.
    ///
    /// `media_timeout` is `wechat.media_timeout`; `shared` is where replicas remember what they stored.
    /// Uploads run on `tasks`, so that the drain can wait for them. When that has taken too long, `stop`
    /// cancels them, and they leave neither pictures nor locks behind.
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
        let all_attempts = (media_timeout + store.time_limit()) * store.attempts();
        let uploader = Uploader {
            max_bytes: settings.max_bytes,
            allowed: settings.allowed_types.clone(),
            media_timeout,
            once: Once::new(shared, settings.remember_for, media_timeout, all_attempts),
            store,
            permits: Semaphore::new(settings.max_concurrent.min(Semaphore::MAX_PERMITS)),
            metrics,
            stop,
        };
        Self {
            uploader: Arc::new(uploader),
            single_flight: Arc::default(),
            tasks,
        }
    }

    /// Stores photo `media_id` of `source`, unless it is stored already, and returns its URL.
    ///
    /// The upload does not end with its caller: one that hangs up and asks again gets its URL.
    pub async fn upload(&self, source: &Arc<dyn MediaSource>, media_id: MediaId) -> Result<Arc<str>, UploadError> {
        let photo = (source.app_id().clone(), media_id);
        let start = || {
            let (uploader, source, media_id) = (Arc::clone(&self.uploader), Arc::clone(source), photo.1.clone());
            let upload = async move { uploader.run(&*source, &media_id).await };
            // In the caller's span, so that its log lines have the request's id and its calls the trace.
            upload.in_current_span()
        };
        let (pending, is_new) = self.single_flight.join_or_start(&photo, &self.tasks, start);
        if !is_new {
            self.uploader.metrics.count(Outcome::Joined);
        }
        pending.await.unwrap_or(Err(UploadError::Lost))
    }
}
