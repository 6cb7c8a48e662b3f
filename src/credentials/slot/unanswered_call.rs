//! Whether WeChat may have replaced the token without any replica having learned the new one.
//!
//! If an answer gets lost, or a replica dies between the call and publishing, that looks like another system: the
//! token dies, and no replica has the new one. So a token call is marked in the shared store before it is made, and
//! the mark is removed when its outcome is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::account::AppId;
use crate::store::{SharedStore, keys};

const MARK: &str = "unanswered";

/// One account's token call whose outcome is not known.
pub(crate) struct UnansweredCall {
    store: Arc<dyn SharedStore>,
    key: String,
    /// True while it is this process that has lost an answer.
    lost_here: AtomicBool,
}

impl UnansweredCall {
    pub(crate) fn new(store: Arc<dyn SharedStore>, app_id: &AppId) -> Self {
        Self {
            store,
            key: keys::TOKEN_CALL.of_account(app_id),
            lost_here: AtomicBool::new(false),
        }
    }

    /// A token call begins; true if all calls before it were answered.
    pub(crate) async fn begin(&self) -> bool {
        // If the store fails here, only this process knows about the call.
        let marked = self.store.set_if_absent(&self.key, MARK, keys::TOKEN_CALL_TTL).await;
        matches!(marked, Ok(true)) && !self.is_ours()
    }

    /// The answer was lost.
    pub(crate) fn lose(&self) {
        self.lost_here.store(true, Ordering::Relaxed);
    }

    /// The outcome is known: the account's token is known again, or was never replaced.
    pub(crate) async fn settle(&self) {
        self.forget();
        // If the mark stays, the next foreign invalidation may go unreported, and nothing else.
        let _ = self.store.compare_and_delete(&self.key, MARK).await;
    }

    /// Another replica has obtained a token since.
    pub(crate) fn forget(&self) {
        self.lost_here.store(false, Ordering::Relaxed);
    }

    /// True if this process has lost an answer.
    pub(crate) fn is_ours(&self) -> bool {
        self.lost_here.load(Ordering::Relaxed)
    }

    /// True if any replica may have lost one.
    pub(crate) async fn exists(&self) -> bool {
        self.is_ours() || matches!(self.store.get(&self.key).await, Ok(Some(_)))
    }
}
