//! Whether WeChat may have replaced the token without any replica having learned the new one.
//!
//! An answer that got lost, or a replica that died between asking and publishing, looks like a foreign
//! system from outside: the token dies, and nobody of ours has another one. So a token call is marked in
//! the shared store before it is made, and the mark goes when its outcome is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::account::AppId;
use crate::store::{SharedStore, keys};

const MARK: &str = "unanswered";

/// One account's doubt.
pub(super) struct Doubt {
    store: Arc<dyn SharedStore>,
    key: String,
    /// Set while it is this process that waits in vain for an answer.
    own: AtomicBool,
}

impl Doubt {
    pub(super) fn new(store: Arc<dyn SharedStore>, app_id: &AppId) -> Self {
        Self {
            store,
            key: keys::token_call(app_id),
            own: AtomicBool::new(false),
        }
    }

    /// A token call begins; true where none before it is in doubt.
    pub(super) async fn begin(&self) -> bool {
        // A store that fails here leaves it to this process alone to know.
        matches!(
            self.store.set_if_absent(&self.key, MARK, keys::TOKEN_CALL_TTL).await,
            Ok(true)
        ) && !self.is_own()
    }

    /// The answer was lost.
    pub(super) fn remain(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// The account's token is known again, or was never touched.
    pub(super) async fn settle(&self) {
        self.forget();
        // A mark that stays only means that the next foreign invalidation may go unreported.
        let _ = self.store.compare_and_delete(&self.key, MARK).await;
    }

    /// Another replica has got a token since.
    pub(super) fn forget(&self) {
        self.own.store(false, Ordering::Relaxed);
    }

    /// True where this process has lost an answer.
    pub(super) fn is_own(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    /// True where any replica may have.
    pub(super) async fn exists(&self) -> bool {
        self.is_own() || matches!(self.store.get(&self.key).await, Ok(Some(_)))
    }
}
