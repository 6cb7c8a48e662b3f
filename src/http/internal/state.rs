//! What the handlers of the internal listener share.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use super::clients::{Clients, HandedOut};
use super::console::Console;
use super::metrics::InternalMetrics;
use crate::http::public::Api;
use crate::metrics::Metrics;
use crate::wechat::WeChatClient;

/// The router's state. Cheap to clone; each handler extracts the part that it uses.
#[derive(Clone)]
pub(super) struct InternalState {
    pub(super) internal: Arc<Internal>,
    pub(super) api: Arc<Api>,
    pub(super) console: Console,
}

impl FromRef<InternalState> for Arc<Internal> {
    fn from_ref(state: &InternalState) -> Self {
        Arc::clone(&state.internal)
    }
}

impl FromRef<InternalState> for Arc<Api> {
    fn from_ref(state: &InternalState) -> Self {
        Arc::clone(&state.api)
    }
}

impl FromRef<InternalState> for Console {
    fn from_ref(state: &InternalState) -> Self {
        state.console.clone()
    }
}

/// What the shared credential and the pass-through need.
pub(super) struct Internal {
    pub(super) api: Arc<Api>,
    pub(super) metrics: Metrics,
    /// What is counted on this listener.
    pub(super) counted: InternalMetrics,
    /// Passes calls through.
    pub(super) wechat: Arc<WeChatClient>,
    /// Whether it does.
    pub(super) proxy: bool,
    /// Who may ask for the token.
    pub(super) clients: Clients,
    /// Which one they were given.
    pub(super) handed_out: HandedOut,
    /// Which one was put into their calls.
    pub(super) tokens_put_in: HandedOut,
    /// Room for bodies that are passed through, in bytes.
    pub(super) proxy_buffer: Arc<Semaphore>,
}
