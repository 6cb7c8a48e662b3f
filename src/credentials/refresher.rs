//! The background work for one account.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account::AccountCredentials;
use super::credential::Unavailable;
use super::slot::Slot;
use crate::clock::Moment;

/// The minimum pause between two ticks, so that the loop does not spin if a due renewal fails at once.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The pause before a renewal is retried that failed without a back-off, for example because the lock was held.
const NEXT_TRY: Duration = Duration::from_secs(2);

/// How often the cluster's count of token calls of the day is read.
const COUNTED_EVERY: Duration = Duration::from_secs(10);

/// How many accounts may renew at once. After a start with an empty store a thousand accounts may have to renew, and each
/// call to WeChat needs a connection.
const AT_ONCE: usize = 16;

/// The maximum duration of a turn, so that calls that hang, and locks whose holder has died, do not delay the other
/// accounts for longer. A renewal that is running continues without the turn.
const MAX_TURN: Duration = Duration::from_secs(1);

/// The permits that refreshers take to renew a credential. Renewals that requests wait for need none.
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE))
}

/// Keeps one account's credentials fresh until `stop` is cancelled: obtains them at the start, adopts what other
/// replicas have renewed, renews before they expire, and publishes what the shared store has lost. A renewal that is
/// running then continues as a task of its own.
pub(crate) async fn keep_fresh(account: Arc<AccountCredentials>, stop: CancellationToken) {
    let ticks = async {
        let mut day = String::new();
        loop {
            account.token.end_needless_waits(&mut day).await;
            tick(&account).await;
            sleep(until_next_tick(&account)).await;
        }
    };
    // The metric includes what other replicas have spent, and what was spent before a restart.
    let counting = async {
        loop {
            account.token.budget.spent_by_all().await;
            sleep(account.policy.jitter.spread(COUNTED_EVERY, 0.8..=1.0)).await;
        }
    };
    let work = async { tokio::join!(counting, ticks) };
    stop.run_until_cancelled(work).await;
}

/// Syncs the token and each ticket with the shared store, and renews what is due. A failure is logged where it happens,
/// and the next tick tries again.
async fn tick(account: &AccountCredentials) {
    account.token.report_count();
    sync_with_store(account).await;
    // After the sync, because adopting a token ends the doubt: after a restart, it is the very token that is in doubt.
    account.token.notice_unanswered_call().await;
    let is_due = account.token.due().is_some() || account.kept_tickets().any(|ticket| ticket.due().is_some());
    if is_due && let Some(turn) = wait_for_turn(account).await {
        let mut renewals = pin!(renew_what_is_due(account));
        if timeout(MAX_TURN, &mut renewals).await.is_err() {
            drop(turn);
            renewals.await;
        }
    }
}

async fn sync_with_store(account: &AccountCredentials) {
    account.token.slot.report_end();
    if let Some(other) = account.token.slot.sync_with_store().await {
        account.probe.compare_with(other);
    }
    for ticket in account.kept_tickets() {
        ticket.slot.report_end();
        ticket.slot.sync_with_store().await;
    }
}

/// Waits for a turn, and keeps syncing with the shared store meanwhile. `None` if there are no more turns.
async fn wait_for_turn(account: &AccountCredentials) -> Option<SemaphorePermit<'_>> {
    let mut turn = pin!(account.turns.acquire());
    loop {
        match timeout(account.policy.settings.adopt_interval, &mut turn).await {
            Ok(turn) => return turn.ok(),
            Err(_) => sync_with_store(account).await,
        }
    }
}

/// Starts with the token, since tickets are obtained with it.
async fn renew_what_is_due(account: &AccountCredentials) {
    if let Some(trigger) = account.token.due() {
        let _ = account.token.renew(trigger).await;
    }
    for ticket in account.kept_tickets() {
        if let Some(trigger) = ticket.due() {
            let _ = ticket.renew(trigger).await;
        }
    }
}

/// The time until the next sync with the shared store, or until the next renewal if that is sooner.
fn until_next_tick(account: &AccountCredentials) -> Duration {
    let (token, policy) = (&account.token, &account.policy);
    let sync = policy.jitter.spread(policy.settings.adopt_interval, 0.8..=1.0);
    let mut pause = sync.min(until_renewal(token.refusal(), &token.slot));
    for ticket in account.kept_tickets() {
        pause = pause.min(until_renewal(ticket.renewals.backoff.refusal(), &ticket.slot));
    }
    pause.max(MIN_PAUSE)
}

/// The time until the back-off of `refusal` ends, or else until the credential in `slot` is due. Unlimited if there is neither.
fn until_renewal(refusal: Option<Unavailable>, slot: &Slot) -> Duration {
    if let Some(refusal) = refusal {
        return refusal.retry_after;
    }
    let Some(held) = slot.usable() else {
        return Duration::MAX;
    };
    let left = held.renew_at.saturating_duration_since(Moment::now());
    // A renewal that is still due has just failed.
    if left.is_zero() { NEXT_TRY } else { left }
}
