//! What the handlers of the shared credential and of the pass-through share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::clients::{Clients, HandedOut};
use super::metrics::InternalMetrics;
use crate::credentials::Ours;
use crate::directory::Account;
use crate::http::public::Api;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::wechat::WeChatClient;

/// The router's state.
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

impl Internal {
    /// The account that `token` belongs to, if any replica uses it, or handed it out and the life that was promised
    /// with it is not over. What this replica knows comes first, so that the current token of no account costs a look
    /// at the shared store.
    pub(super) async fn owner_of(&self, token: &Secret) -> Option<(&Account, Ours)> {
        let accounts = || self.api.directory.all();
        let here = accounts().find_map(|account| Some((account, account.credentials.recognise_here(token)?)));
        if here.is_some() {
            return here;
        }
        for account in accounts() {
            if let Some(ours) = account.credentials.recognise_elsewhere(token).await {
                return Some((account, ours));
            }
        }
        None
    }
}
