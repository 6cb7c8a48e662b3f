//! Which replica renews: a lock in the shared store for each of the account's credentials, so that calls for a ticket that
//! hang do not delay a new token.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::distr::Alphanumeric;
use tokio::time::sleep;

use super::credential::{Credential, Policy, Trigger, Unavailable};
use super::held_lock::HeldLock;
use super::parameters::Parameters;
use super::slot::{NotShared, Slot, Stored};
use crate::clock::Moment;
use crate::store::{SharedStore, StoreError, shorten_foreign_ttl};

/// The lock on renewals of one account's token or ticket, for the whole cluster.
pub(super) struct Lock {
    store: Arc<dyn SharedStore>,
    key: String,
    policy: Policy,
}

/// How a renewal continues after [`Lock::acquire`].
pub(super) enum Acquisition {
    /// Another replica or renewal has obtained a credential, which is now in use here.
    Adopted(Arc<Credential>),
    /// The lock is ours; the second value is what was stored when we got it.
    Locked(HeldLock, Option<Stored>),
    /// The state of the other replicas is unknown: the shared store is down, or holds another program's value.
    Alone(NotShared),
}

impl Lock {
    pub(super) fn new(parameters: &Parameters, key: String) -> Self {
        Self {
            store: parameters.store(),
            key,
            policy: parameters.policy.clone(),
        }
    }

    fn ttl(&self) -> Duration {
        self.policy.settings.lock_ttl
    }

    /// Waits for the credential rather than for the lock, because most waiters never need the lock.
    pub(super) async fn acquire(&self, slot: &Slot, trigger: Trigger) -> Result<Acquisition, Unavailable> {
        let began = Moment::now();
        let give_up = began + self.policy.settings.lock_wait;
        let mut is_first_wait = true;
        loop {
            match self.try_acquire(slot, trigger, began).await {
                Ok(Some(acquisition)) => return Ok(acquisition),
                Ok(None) => {}
                Err(error) => return Ok(Acquisition::Alone(error)),
            }
            if Moment::now() >= give_up {
                let why = "another replica holds the lock and has published nothing yet";
                return Err(Unavailable::soon(why));
            }
            if std::mem::take(&mut is_first_wait) {
                shorten_foreign_ttl(&*self.store, &self.key, self.ttl()).await;
            }
            sleep(self.policy.jitter.poll()).await;
        }
    }

    async fn try_acquire(
        &self,
        slot: &Slot,
        trigger: Trigger,
        began: Moment,
    ) -> Result<Option<Acquisition>, NotShared> {
        if let (Some(credential), _) = slot.check_store(trigger, began).await? {
            return Ok(Some(Acquisition::Adopted(credential)));
        }
        let Some(held_lock) = self.try_take().await? else {
            return Ok(None);
        };
        // Between the check and taking the lock, another replica may have published a credential and released the lock.
        match slot.check_store(trigger, began).await {
            Ok((None, seen)) => Ok(Some(Acquisition::Locked(held_lock, seen))),
            found => {
                held_lock.release().await;
                Ok(found?.0.map(Acquisition::Adopted))
            }
        }
    }

    /// Tries to take the lock; `None` if it is held.
    async fn try_take(&self) -> Result<Option<HeldLock>, StoreError> {
        let owner: String = rand::rng().sample_iter(Alphanumeric).take(20).map(char::from).collect();
        // Counted from before the command, so that the lock is never assumed to last longer than it does.
        let expires_at = Moment::now() + self.ttl();
        let taken = self.store.set_if_absent(&self.key, &owner, self.ttl()).await?;
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        Ok(taken.then_some(HeldLock {
            store,
            key,
            owner,
            expires_at,
        }))
    }
}
