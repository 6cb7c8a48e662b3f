//! What random schedules in one thread do not come by.

use super::replica::Replica;
use super::world::{World, rejection};

#[tokio::test(start_paused = true)]
async fn a_rejection_told_twice_is_healed_for_both_who_tell_of_it() {
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
async fn a_replica_that_gives_way_to_a_fight_takes_what_another_one_has_got() {
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
