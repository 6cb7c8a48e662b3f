//! What the console's handlers share.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::traffic::Traffic;
use crate::http::public::Api;
use crate::metrics::Metrics;
use crate::replicas::Replicas;
use crate::settings::{ImageStoreBackend, Settings, TokenApi};

/// The console's state. Cheap to clone.
#[derive(Clone)]
pub struct Console(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) api: Arc<Api>,
    pub(super) metrics: Metrics,
    pub(super) traffic: Traffic,
    pub(super) replicas: Arc<Replicas>,
    pub(super) started: Instant,
    pub(super) actions_open: bool,
    pub(super) image_store: ImageStoreBackend,
    pub(super) daily_token_calls: u64,
    pub(super) token_apis: HashMap<String, TokenApi>,
}

/// The parts that a console is built from.
pub struct ConsoleParts<'a> {
    /// The gateway's settings.
    pub settings: &'a Settings,
    /// What the public listener's handlers need.
    pub api: Arc<Api>,
    /// The gateway's metrics.
    pub metrics: Metrics,
    /// This process and the others.
    pub(crate) replicas: Arc<Replicas>,
}

impl Console {
    /// A console that samples its metrics in a task on `tasks` until `stop` is cancelled.
    #[must_use]
    pub fn start(parts: ConsoleParts<'_>, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let settings = parts.settings;
        let accounts = settings.accounts.iter();
        let console = Self(Arc::new(Parts {
            api: parts.api,
            metrics: parts.metrics,
            traffic: Traffic::default(),
            replicas: parts.replicas,
            started: Instant::now(),
            actions_open: !settings.internal.operator_key.is_blank(),
            image_store: settings.image_store.backend,
            daily_token_calls: settings.credentials.daily_token_calls.into(),
            token_apis: accounts
                .map(|account| (account.app_id.to_string(), account.token_api))
                .collect(),
        }));
        let recording = Arc::clone(&console.0);
        tasks.spawn(async move { recording.traffic.record_all(recording.metrics.clone(), stop).await });
        console
    }

    /// The accounts, the default one first.
    pub(super) fn app_ids(&self) -> Vec<String> {
        let accounts = self.0.api.directory.all();
        accounts.map(|account| account.app_id().to_string()).collect()
    }
}
