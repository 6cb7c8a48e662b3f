//! The shared state and the metrics of the handlers of the shared credential and of the pass-through.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use prometheus::{IntCounterVec, register_int_counter_vec_with_registry};
use tokio::sync::Semaphore;

use super::clients::{HandedOut, TokenClients};
use crate::clock::Moment;
use crate::credentials::{Recognised, UnknownTokens};
use crate::directory::Account;
use crate::http::public::PublicState;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::wechat::WeChatClient;

/// The router's state.
pub(super) struct Internal {
    pub(super) public: Arc<PublicState>,
    pub(super) metrics: Metrics,
    /// Callers that were refused, by reason.
    pub(super) refusals: IntCounterVec,
    /// Calls into which a token was put, by client and account.
    pub(super) client_calls: IntCounterVec,
    /// The WeChat client for calls that are passed through.
    pub(super) wechat: Arc<WeChatClient>,
    /// Who may ask for the shared token.
    pub(super) clients: TokenClients,
    /// The last token that each client was handed out.
    pub(super) handed_out: HandedOut,
    /// The last token that was put into the calls of each client that sends none.
    pub(super) tokens_put_in: HandedOut,
    /// Tokens in calls that were recently found to belong to no account.
    pub(super) unknown_tokens: UnknownTokens,
    /// How many bytes of `internal.proxy_buffer` are free.
    pub(super) proxy_buffer: Arc<Semaphore>,
}

/// How many accounts are checked at a time for whether a token is theirs.
const LOOKUPS_AT_ONCE: usize = 64;

impl Internal {
    pub(super) fn new(
        state: Arc<PublicState>,
        metrics: Metrics,
        wechat: Arc<WeChatClient>,
    ) -> prometheus::Result<Self> {
        let settings = state.settings.load_full();
        let proxy_buffer = usize::try_from(settings.internal.proxy_buffer).unwrap_or(usize::MAX);
        Ok(Self {
            refusals: register_int_counter_vec_with_registry!(
                "wxgate_internal_refusals_total",
                "Calls to the internal listener that were refused, by reason",
                &["reason"],
                metrics.registry
            )?,
            client_calls: register_int_counter_vec_with_registry!(
                "wxgate_client_calls_total",
                "Calls passed through with a token added for a client",
                &["client", "app_id"],
                metrics.registry
            )?,
            metrics,
            wechat,
            clients: TokenClients(Arc::clone(&state.settings)),
            handed_out: HandedOut::default(),
            tokens_put_in: HandedOut::default(),
            unknown_tokens: UnknownTokens::default(),
            proxy_buffer: Arc::new(Semaphore::new(proxy_buffer.min(Semaphore::MAX_PERMITS))),
            public: state,
        })
    }

    /// The account of `token`, if a replica uses it, or handed it out and the promised lifetime is not over. An account's
    /// current token needs no lookup in the shared store; an unknown one needs one per account, but not at each call.
    pub(super) async fn owner_of(&self, token: &Secret) -> Option<(&Account, Recognised)> {
        let accounts = || self.public.directory.all();
        let here = accounts().find_map(|account| Some((account, account.credentials.recognise_here(token)?)));
        if here.is_some() {
            return here;
        }
        if self.unknown_tokens.contains(token) {
            return None;
        }
        let began_at = Moment::now();
        let lookups = stream::iter(accounts())
            .map(async |account| (account, account.credentials.recognise_elsewhere(token).await));
        // Boxed, because the compiler can't tell that the closure may be sent to another thread.
        let mut lookups = lookups.buffer_unordered(LOOKUPS_AT_ONCE).boxed();
        let mut all_answered = true;
        while let Some((account, found)) = lookups.next().await {
            match found {
                Ok(Some(ours)) => return Some((account, ours)),
                Ok(None) => {}
                Err(_) => all_answered = false,
            }
        }
        if all_answered {
            self.unknown_tokens.note(token, began_at);
        }
        None
    }
}
