//! What random schedules in one thread do not reach.

use super::replica::Replica;
use super::wechat::rejection;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn rejection_reported_twice_is_healed_for_both_reporters() {
    let world = World::new(1);
    let replica = Replica::start(&world, 1);
    let credentials = &replica.credentials;
    let (dead, token) = (credentials.token().await.unwrap(), credentials.access_token());
    // Another thread reports it too, and has come this far.
    assert!(token.slot().begin_to_reject(&dead));
    let token = token.replace_rejected(&dead, &rejection()).await.unwrap();
    assert_ne!(token.value, dead.value);
    assert!(world.accepts(token.value.expose()));
}

#[tokio::test(start_paused = true)]
async fn replica_that_backs_off_from_a_takeover_adopts_what_another_has_obtained() {
    let world = World::new(1);
    let tired = Replica::start(&world, 1);
    while tired.calls().await.is_ok() {
        // Ours outlives the first one for the overlap.
        world.foreign_fetch();
        world.foreign_fetch();
    }
    let other = Replica::start(&world, 2);
    other.calls().await.unwrap();
    tired.calls().await.unwrap();
    assert_eq!(tired.usable_token(), other.usable_token());
}
