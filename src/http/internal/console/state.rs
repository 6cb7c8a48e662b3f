//! What the console's handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::language::{COOKIE, Language};
use super::traffic::Traffic;
use crate::http::public::Api;
use crate::metrics::Metrics;
use crate::replicas::Replicas;

/// The console's state.
pub struct Console {
    pub(super) api: Arc<Api>,
    pub(super) metrics: Metrics,
    pub(super) traffic: Traffic,
    pub(super) explaining: Turns,
    pub(super) replicas: Arc<Replicas>,
    pub(super) started: Instant,
}

impl Console {
    /// A console that samples its metrics in a task on `tasks` until `stop` is cancelled.
    pub(crate) fn start(
        api: Arc<Api>,
        metrics: Metrics,
        replicas: Arc<Replicas>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let console = Arc::new(Self {
            api,
            metrics,
            traffic: Traffic::default(),
            explaining: Turns::default(),
            replicas,
            started: Instant::now(),
        });
        let recording = Arc::clone(&console);
        tasks.spawn(async move { recording.traffic.record_all(recording.metrics.clone(), stop).await });
        console
    }

    /// The accounts, the default one first.
    pub(super) fn app_ids(&self) -> Vec<String> {
        let accounts = self.api.directory.all();
        accounts.map(|account| account.app_id().to_string()).collect()
    }

    /// A page as a response, with a cookie that remembers the language if the reader has just chosen one.
    pub(super) fn answer(&self, page: Markup, chosen: Option<Language>) -> Response {
        let page = Html(page.into_string());
        let cookie = chosen.map(|language| {
            let settings = self.api.settings.load();
            let (base_path, code) = (settings.internal.base_path.as_str(), language.code());
            let year = Duration::from_hours(8760).as_secs();
            let cookie = format!("{COOKIE}={code}; Path={base_path}/console; Max-Age={year}; SameSite=Lax; HttpOnly");
            [(header::SET_COOKIE, cookie)]
        });
        (cookie, page).into_response()
    }
}

/// Whose turn it is to have a signature looked into. Each computes thousands of hashes, too slow for a thread that
/// serves requests; and one at a time, since DNS look-ups and the local image store use the same few blocking threads.
pub(super) struct Turns {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            // How many may be looked into or wait for that.
            places: Arc::new(Semaphore::new(4)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Turns {
    /// Waits for a turn, which lasts until both permits are dropped; `None` if too many wait already.
    pub(super) async fn take(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // The semaphore is never closed.
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        Some([place, turn])
    }
}
