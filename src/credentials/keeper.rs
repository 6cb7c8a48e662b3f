//! The background work for one account.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::account::{AccountCredentials, Slot};
use super::credential::Kind;
use super::renewal::Trigger;

/// Looks after one account: gets its credentials at the start, adopts what other replicas have
/// renewed, renews ahead of the end, and publishes what a lost shared store has forgotten.
pub struct Keeper;

impl Keeper {
    /// Works until `stop` is cancelled. A renewal under way goes on by itself.
    pub async fn run(account: Arc<AccountCredentials>, stop: CancellationToken) {
        let turns = async {
            loop {
                account.turn().await;
                sleep(account.until_next_turn()).await;
            }
        };
        let work = async { tokio::join!(account.budget.learn(), turns) };
        stop.run_until_cancelled(work).await;
    }
}

impl AccountCredentials {
    /// One turn: for each credential a look at the shared store, and a renewal where one is due.
    pub(super) async fn turn(self: &Arc<Self>) {
        self.metrics
            .calls_today
            .with_label_values(&[self.app_id.as_str()])
            .set(self.budget.spent().cast_signed());
        for kind in Kind::ALL {
            let slot = self.slot(kind);
            self.meet_the_others(slot).await;
            if let Some(trigger) = self.due(slot) {
                // A failure is logged where it happens; the next turn tries again.
                let _ = self.renew(kind, trigger).await;
            }
        }
    }

    /// Adopts what is newer in the shared store; publishes what is held where nothing stands there, or
    /// something known to be older, say, after a Redis came back empty or from a snapshot (C6). A store
    /// that is down is looked at again in the next turn.
    async fn meet_the_others(&self, slot: &Slot) {
        let Ok(standing) = slot.shelf.read().await else {
            return;
        };
        if self.adopt(slot, Trigger::Expiring, standing.as_ref()).is_some() {
            return;
        }
        if let Some(held) = slot.cell.usable()
            && standing.as_ref().is_none_or(|standing| !slot.is_current(standing))
        {
            // Whoever was faster is met in the next turn.
            let _ = slot
                .shelf
                .replace(standing.as_ref().map(|standing| &standing.value), &held)
                .await;
        }
    }

    fn due(&self, slot: &Slot) -> Option<Trigger> {
        if slot.backoff.refusal().is_some() {
            return None;
        }
        let Some(held) = slot.cell.usable() else {
            return Some(Trigger::Missing);
        };
        if slot.kind == Kind::AccessToken && self.doubt.is_own() {
            return Some(Trigger::InDoubt);
        }
        let due = Instant::now() >= held.renew_at;
        let by_age = slot.kind == Kind::JsapiTicket && held.remaining() > self.policy.refresh_ahead;
        due.then_some(if by_age { Trigger::Aged } else { Trigger::Expiring })
    }

    /// Until the next look at the shared store, or the next renewal if that is sooner.
    fn until_next_turn(&self) -> Duration {
        let now = Instant::now();
        let look = self.policy.jitter.spread(self.policy.adopt_interval, 0.8..=1.0);
        let renewals = Kind::ALL.into_iter().filter_map(|kind| {
            let slot = self.slot(kind);
            match slot.backoff.refusal() {
                Some(refusal) => Some(refusal.retry_after),
                None => slot
                    .cell
                    .usable()
                    .map(|held| held.renew_at.saturating_duration_since(now)),
            }
        });
        // Never at once: a renewal that is due and can't be had must not spin.
        renewals.fold(look, Duration::min).max(Duration::from_millis(50))
    }
}
