//! Two threads of one replica at the same slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::replica::SimulatedReplica;
use super::world::World;
use crate::clock::Moment;
use crate::credentials::Kind;
use crate::credentials::credential::Trigger;
use crate::credentials::slot::Stored;
use crate::secret::Secret;

/// The value of `current` that ends the adopting thread.
const END: u64 = 0;

/// The refresher's thread may be preempted between its comparison and its write.
#[tokio::test]
async fn token_that_was_superseded_meanwhile_is_not_adopted() {
    let replica = SimulatedReplica::start(&World::new(1), 1);
    let (slot, policy) = (&replica.credentials.token.slot, &replica.credentials.policy);
    let ends = |round| Moment::now() + Duration::from_secs(round);
    let stored = |round| Stored {
        value: Secret::new(format!("stored-{round}")),
        expires_at: Some(ends(2 * round)),
    };
    let publishes = |round| {
        let value = Secret::new(format!("newer-{round}"));
        let newer = Arc::new(policy.credential(Kind::AccessToken, value, ends(2 * round)));
        slot.retire_what_was_before(&newer, Some(&stored(round)), Moment::now());
        slot.put_into_use(&newer);
        std::thread::yield_now();
        slot.held().is_some_and(|held| held.value == newer.value)
    };
    let current = AtomicU64::new(1);
    let mut rounds = (1..2_000).inspect(|&round| current.store(round, Ordering::Relaxed));
    let is_kept = std::thread::scope(|threads| {
        threads.spawn(|| {
            while let round @ 1.. = current.load(Ordering::Relaxed) {
                slot.adopt(Trigger::Expiring, Some(&stored(round)));
            }
        });
        let is_kept = rounds.all(publishes);
        current.store(END, Ordering::Relaxed);
        is_kept
    });
    assert!(
        is_kept,
        "{:?} is in use",
        slot.held().map(|held| held.value.expose().to_owned())
    );
}
