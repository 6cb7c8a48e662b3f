//! What the console's handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::language::{COOKIE, Language};
use super::traffic::Traffic;
use crate::http::public::PublicState;
use crate::metrics::Metrics;
use crate::replicas::Replicas;

/// The console's state.
pub struct Console {
    pub(super) public: Arc<PublicState>,
    pub(super) metrics: Metrics,
    pub(super) traffic: Traffic,
    pub(super) explain_queue: ExplainQueue,
    pub(super) replicas: Arc<Replicas>,
}

impl Console {
    /// A console that samples its metrics in a task on `tasks` until `stop` is cancelled.
    pub(crate) fn start(
        public: Arc<PublicState>,
        metrics: Metrics,
        replicas: Arc<Replicas>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let console = Arc::new(Self {
            public,
            metrics,
            traffic: Traffic::default(),
            explain_queue: ExplainQueue::default(),
            replicas,
        });
        let recording = Arc::clone(&console);
        tasks.spawn(async move { recording.traffic.record_all(recording.metrics.clone(), stop).await });
        console
    }

    /// The accounts, the default one first.
    pub(super) fn app_ids(&self) -> Vec<String> {
        let accounts = self.public.directory.all();
        accounts.map(|account| account.app_id().to_string()).collect()
    }

    /// A page as a response, with a cookie that remembers the language if the reader has just chosen one.
    pub(super) fn answer(&self, page: Markup, chosen: Option<Language>) -> Response {
        let page = Html(page.into_string());
        let cookie = chosen.map(|language| {
            let settings = self.public.settings.load();
            let (base_path, code) = (settings.internal.base_path.as_str(), language.code());
            let year = Duration::from_hours(8760).as_secs();
            let cookie = format!("{COOKIE}={code}; Path={base_path}/console; Max-Age={year}; SameSite=Lax; HttpOnly");
            [(header::SET_COOKIE, cookie)]
        });
        (cookie, page).into_response()
    }
}

/// Lets one request at a time explain a signature. Each computes thousands of hashes on a blocking thread, and DNS
/// look-ups and the local image store need the same few threads.
pub(super) struct ExplainQueue {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for ExplainQueue {
    fn default() -> Self {
        Self {
            // For those that wait, and the one that runs.
            places: Arc::new(Semaphore::new(4)),
            running: Arc::new(Semaphore::new(1)),
        }
    }
}

impl ExplainQueue {
    /// Waits for its turn, which lasts until both permits are dropped; `None` if the queue is full.
    pub(super) async fn wait(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // The semaphore is never closed.
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some([place, running])
    }
}
