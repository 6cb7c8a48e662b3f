//! What a renewal exchanges with the other replicas by way of the shared store: who renews, what is
//! taken over, what is published.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Unavailable;
use super::account::{AccountCredentials, Slot};
use super::credential::{Credential, Kind};
use super::journal::Event;
use super::lock;
use super::renewal::Trigger;
use super::shelf::Standing;
use crate::secret::Secret;
use crate::store::StoreError;

/// How a renewal may go on after the look at the shared store.
pub(super) enum Claim {
    /// Somebody else has got one, and it is in use here now.
    Adopted(Arc<Credential>),
    /// The cluster waits for us; this is what stood in the store when the lock was ours.
    Locked(lock::Held, Option<Standing>),
    /// The shared store is down, so nobody knows what the other replicas do.
    Alone(StoreError),
}

/// How long a replica that waits for another one's credential pauses between two looks.
const POLL: Duration = Duration::from_millis(50);

impl AccountCredentials {
    /// Waits for the credential rather than for the lock: most of those who wait never need it.
    pub(super) async fn claim(&self, slot: &Slot, trigger: Trigger) -> Result<Claim, Unavailable> {
        let give_up = Instant::now() + self.policy.lock_wait;
        loop {
            match self.try_claim(slot, trigger).await {
                Ok(Some(claim)) => return Ok(claim),
                Ok(None) if Instant::now() < give_up => {
                    sleep(self.policy.jitter.spread(POLL, 0.5..=1.5)).await;
                }
                Ok(None) => {
                    return Err(Unavailable::soon(
                        "another replica holds the lock and has published nothing yet",
                    ));
                }
                Err(error) => return Ok(Claim::Alone(error)),
            }
        }
    }

    async fn try_claim(&self, slot: &Slot, trigger: Trigger) -> Result<Option<Claim>, StoreError> {
        if let Some(credential) = self.look(slot, trigger).await? {
            return Ok(Some(Claim::Adopted(credential)));
        }
        let Some(lock) = lock::try_acquire(&self.store, &self.lock_key, self.policy.lock_ttl).await? else {
            return Ok(None);
        };
        // Between the look and the lock somebody may have published and left.
        let claim = match slot.shelf.read().await {
            Ok(seen) => match self
                .adopt(slot, trigger, seen.as_ref())
                .or_else(|| slot.arrived(trigger))
            {
                Some(credential) => Ok(Claim::Adopted(credential)),
                None => return Ok(Some(Claim::Locked(lock, seen))),
            },
            Err(error) => Err(error),
        };
        lock.release().await;
        claim.map(Some)
    }

    /// What another replica has got while this one gives way to a fight.
    pub(super) async fn got_by_another(&self, slot: &Slot, trigger: Trigger) -> Option<Arc<Credential>> {
        // Those who are refused come again at once, and the store is not to feel it. Before the look,
        // so that whoever joins meanwhile gets what is there by then.
        sleep(POLL).await;
        self.look(slot, trigger).await.ok().flatten()
    }

    /// What is in use here by now, or stands in the shared store to be taken over.
    async fn look(&self, slot: &Slot, trigger: Trigger) -> Result<Option<Arc<Credential>>, StoreError> {
        if let Some(credential) = slot.arrived(trigger) {
            return Ok(Some(credential));
        }
        let standing = slot.shelf.read().await?;
        let adopted = self.adopt(slot, trigger, standing.as_ref());
        Ok(adopted.or_else(|| slot.arrived(trigger)))
    }

    /// Takes over what stands in the shared store, where that is good and newer than what is held.
    pub(super) fn adopt(&self, slot: &Slot, trigger: Trigger, standing: Option<&Standing>) -> Option<Arc<Credential>> {
        let standing = standing.filter(|standing| trigger != Trigger::Operator && slot.would_adopt(standing))?;
        let credential = self
            .policy
            .credential(slot.kind, standing.value.clone(), standing.expires_at?);
        let credential = Arc::new(credential);
        self.hold(slot, &credential);
        slot.past.explain();
        if slot.kind == Kind::AccessToken {
            self.doubt.forget();
        }
        self.journal.note(
            &self.app_id,
            slot.kind,
            Event::Adopted,
            &credential.fingerprint,
            trigger.label(),
        );
        tracing::debug!(app_id = %self.app_id, kind = slot.kind.label(), credential = credential.fingerprint, "adopted");
        Some(credential)
    }

    /// Puts `credential` into the shared store in place of `seen`, and into use. Where something
    /// newer has come to stand there meanwhile (this process was frozen), that is used instead (C8).
    pub(super) async fn publish(
        &self,
        slot: &Slot,
        seen: Option<Standing>,
        credential: Credential,
        asked_at: Instant,
    ) -> Arc<Credential> {
        // What the keeper has adopted while our call was under way comes from somebody who got the
        // lock after us: we were frozen, or the store has lost the lock.
        let meanwhile = |held: &Arc<Credential>| held.held_since > asked_at && held.value != credential.value;
        if let Some(newer) = slot.cell.usable().filter(meanwhile) {
            return newer;
        }
        slot.past.revive(&credential.value);
        let event = if slot.cell.held().is_some() {
            Event::Renewed
        } else {
            Event::Issued
        };
        let unchanged = slot.cell.held().is_some_and(|held| held.value == credential.value);
        if let Some(newer) = self.displace(slot, seen.map(|seen| seen.value), &credential).await {
            let adopted = self
                .adopt(slot, Trigger::Missing, Some(&newer))
                .or_else(|| slot.cell.usable());
            if let Some(adopted) = adopted {
                return adopted;
            }
        }
        let credential = Arc::new(credential);
        self.hold(slot, &credential);
        if !unchanged {
            let (app_id, kind, life) = (&self.app_id, slot.kind.label(), credential.remaining().as_secs());
            tracing::info!(%app_id, kind, credential = credential.fingerprint, life, "{}", event.label());
            self.journal.note(
                app_id,
                slot.kind,
                event,
                &credential.fingerprint,
                &format!("for {life} s"),
            );
        }
        credential
    }

    /// Writes `credential` over `seen`, or over whatever older has come there since; answers what is
    /// newer, in which case nothing was written. A store that fails is written later, by the keeper.
    async fn displace(&self, slot: &Slot, mut seen: Option<Secret>, credential: &Credential) -> Option<Standing> {
        for _ in 0..3 {
            match slot.shelf.replace(seen.as_ref(), credential).await {
                Ok(true) | Err(_) => return None,
                Ok(false) => {}
            }
            let standing = slot.shelf.read().await.ok()?;
            match standing {
                // Also where the keeper has adopted it while we were frozen: then it is held already.
                Some(standing) if standing.value != credential.value && slot.is_current(&standing) => {
                    return Some(standing);
                }
                other => seen = other.map(|standing| standing.value),
            }
        }
        None
    }
}

impl Slot {
    /// What has come into use here since a renewal for want of it was asked for: another renewal has
    /// ended since, or the keeper has adopted it.
    fn arrived(&self, trigger: Trigger) -> Option<Arc<Credential>> {
        let wanted = matches!(trigger, Trigger::Missing | Trigger::Rejected);
        self.cell.usable().filter(|_| wanted)
    }

    /// True where `standing`, from the shared store, is good, and nothing that was in use here before
    /// (see [`super::past`]).
    pub(super) fn is_current(&self, standing: &Standing) -> bool {
        standing.expires_at.is_some_and(|ends| ends > Instant::now()) && !self.past.holds(&standing.value)
    }

    /// True where `standing` is to take the place of what is held. Where that would end sooner, it
    /// may be older or have been given a shorter life: then what is held stays until it dies.
    fn would_adopt(&self, standing: &Standing) -> bool {
        let outlives = |held: &Credential| held.value != standing.value && standing.expires_at > Some(held.expires_at);
        self.is_current(standing) && self.cell.usable().is_none_or(|held| outlives(&held))
    }
}
