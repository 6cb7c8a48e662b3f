//! Cases that random schedules in one thread do not reach.

use std::time::Duration;

use tokio::time::sleep;

use super::replica::Replica;
use super::wechat::rejection;
use super::world::{LOCK_TTL, World};
use crate::store::SharedStore;

#[tokio::test(start_paused = true)]
async fn rejection_reported_twice_is_healed_for_both_reporters() {
    let world = World::new(1);
    let replica = Replica::start(&world, 1);
    let credentials = &replica.credentials;
    let (dead, token) = (credentials.token().await.unwrap(), &credentials.token);
    // Another thread reports it too, and has come this far.
    assert!(token.slot.begin_to_reject(&dead));
    let token = token.replace_rejected(&dead, &rejection()).await.unwrap();
    assert_ne!(token.value, dead.value);
    assert!(world.accepts(token.value.expose()));
}

#[tokio::test(start_paused = true)]
async fn replica_that_backs_off_from_a_takeover_adopts_what_another_has_obtained() {
    let world = World::new(1);
    let losing = Replica::start(&world, 1);
    while losing.call().await.is_ok() {
        // Twice, because our token outlives the first fetch by the overlap.
        world.foreign_fetch();
        world.foreign_fetch();
    }
    let other = Replica::start(&world, 2);
    other.call().await.unwrap();
    losing.call().await.unwrap();
    assert_eq!(losing.usable_token(), other.usable_token());
}

#[tokio::test(start_paused = true)]
async fn replica_frozen_with_the_lock_makes_no_call_when_it_wakes() {
    for seed in 0..20 {
        let world = World::new(seed);
        let frozen = Replica::start(&world, seed);
        // It is about to call WeChat.
        while world.store().get("lock").await.unwrap().is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        frozen.gate.freeze_for(LOCK_TTL * 2);
        let other = Replica::start(&world, seed + 1000);
        sleep(LOCK_TTL * 2 + Duration::from_secs(5)).await;
        assert_eq!(world.tokens_issued(), 1, "seed {seed}");
        assert!(other.usable_token().is_some());
        assert_eq!(frozen.usable_token(), other.usable_token());
    }
}
