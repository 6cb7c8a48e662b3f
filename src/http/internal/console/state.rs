//! What the console's handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;
use prometheus::Registry;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::language::{COOKIE, Language};
use super::traffic::{Counts, Traffic};
use crate::http::public::PublicState;
use crate::replicas::Replicas;

pub struct Console {
    pub(super) public: Arc<PublicState>,
    pub(super) registry: Registry,
    pub(super) traffic: Traffic,
    pub(super) replicas: Arc<Replicas>,
    /// For the request that explains a signature, and those that wait.
    explain_places: Arc<Semaphore>,
    explain_turn: Arc<Mutex<()>>,
}

impl Console {
    /// How often [`Console::sample`] is to be called.
    pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_mins(1);

    pub(crate) fn new(public: Arc<PublicState>, registry: Registry, replicas: Arc<Replicas>) -> Self {
        Self {
            public,
            registry,
            traffic: Traffic::default(),
            replicas,
            explain_places: Arc::new(Semaphore::new(4)),
            explain_turn: Arc::default(),
        }
    }

    /// Records the counters for the charts.
    pub(crate) fn sample(&self) {
        self.traffic.record(Counts::read(&self.registry.gather()));
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

    /// Waits for a turn to explain a signature, which lasts until permit and guard are dropped; `None` if too many wait.
    /// There is one turn at a time: each computes thousands of hashes on a blocking thread, and DNS look-ups and the local
    /// image store need the same few threads.
    pub(super) async fn turn_to_explain(&self) -> Option<(OwnedSemaphorePermit, OwnedMutexGuard<()>)> {
        let place = Arc::clone(&self.explain_places).try_acquire_owned().ok()?;
        Some((place, Arc::clone(&self.explain_turn).lock_owned().await))
    }
}
