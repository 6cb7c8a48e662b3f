//! The account's lock for the whole cluster, in the shared store.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::distr::Alphanumeric;
use tokio::time::Instant;

use crate::store::{SharedStore, StoreError};

/// The lock, held. Only its owner can release it; left alone it ends by itself after its life.
pub(super) struct Held {
    store: Arc<dyn SharedStore>,
    key: String,
    owner: String,
    /// When it may have ended, by this process's clock.
    ends_at: Instant,
}

/// Tries to take the lock at `key`; `None` where somebody else holds it.
pub(super) async fn try_acquire(
    store: &Arc<dyn SharedStore>,
    key: &str,
    life: Duration,
) -> Result<Option<Held>, StoreError> {
    let owner = new_owner();
    // Counted from before the command, so that it never seems to last longer than it does.
    let ends_at = Instant::now() + life;
    let taken = store.set_if_absent(key, &owner, life).await?;
    Ok(taken.then(|| Held {
        store: Arc::clone(store),
        key: key.to_owned(),
        owner,
        ends_at,
    }))
}

fn new_owner() -> String {
    rand::rng().sample_iter(Alphanumeric).take(20).map(char::from).collect()
}

impl Held {
    /// True where the lock surely lasts for `time` from now. A holder that was frozen sees here that
    /// its time has passed.
    pub(super) fn lasts_for(&self, time: Duration) -> bool {
        Instant::now() + time < self.ends_at
    }

    /// Releases the lock if it is still ours. A store that fails here ends it in time.
    pub(super) async fn release(self) {
        if let Err(error) = self.store.compare_and_delete(&self.key, &self.owner).await {
            tracing::debug!(%error, "the lock was not released and will end by itself");
        }
    }
}
