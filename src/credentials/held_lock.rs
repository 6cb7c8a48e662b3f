//! An account's lock while this replica holds it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::store::SharedStore;

/// The lock, held. Only its owner can release it; otherwise it expires after `lock_ttl`.
pub(super) struct HeldLock {
    pub(super) store: Arc<dyn SharedStore>,
    pub(super) key: String,
    /// The random value that only this holder writes.
    pub(super) owner: String,
    /// When the lock may have expired, by this process's clock.
    pub(super) expires_at: Moment,
}

impl HeldLock {
    /// True if the lock certainly lasts for `time` from now. A process that was frozen notices here that it may have
    /// lost the lock.
    pub(super) fn lasts_for(&self, time: Duration) -> bool {
        Moment::now() + time < self.expires_at
    }

    /// True if the shared store says that this replica still holds the lock, and so has held it all the time.
    pub(super) async fn is_still_held(&self) -> bool {
        let entry = self.store.get(&self.key).await;
        matches!(entry, Ok(Some(entry)) if entry.value == self.owner)
    }

    /// Releases the lock if it is still ours. If the store fails, the lock expires by itself.
    pub(super) async fn release(self) {
        if let Err(error) = self.store.compare_and_delete(&self.key, &self.owner).await {
            tracing::debug!(%error, "the lock was not released; it expires after its TTL");
        }
    }
}
