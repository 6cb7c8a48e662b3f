//! Cases that random schedules in a single thread do not reach.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::replica::SimulatedReplica;
use super::store::TOKEN_KEY;
use super::wechat::rejection;
use super::world::{LOCK_TTL, TOKEN_LIFETIME, World};
use crate::clock::Moment;
use crate::credentials::Kind;
use crate::credentials::credential::Trigger;
use crate::credentials::slot::Stored;
use crate::secret::Secret;
use crate::settings::{Credentials, TokenApi};
use crate::store::SharedStore;

const LOCK_KEY: &str = "weChatApiToken:wx1";

/// The key of the mark that makes the whole cluster wait after rejections.
const MARK: &str = "wxgate:token_rejected:wx1";

#[tokio::test(start_paused = true)]
async fn rejection_reported_twice_is_healed_for_both_reporters() {
    let world = World::new(1);
    let replica = SimulatedReplica::start(&world, 1);
    let credentials = &replica.credentials;
    let (dead, token) = (credentials.token().await.unwrap(), &credentials.token);
    // Another thread reports it too, and has got this far.
    assert!(token.slot.history.reject(&dead));
    let token = token.replace_rejected(&dead, &rejection()).await.unwrap();
    assert_ne!(token.value, dead.value);
    assert!(world.accepts(token.value.expose()));
}

/// A renewal has found another replica's token in the store, and is about to publish its own.
#[tokio::test(start_paused = true)]
async fn token_that_a_renewal_is_replacing_is_not_published_again() {
    let world = World::new(1);
    let replica = SimulatedReplica::start(&world, 1);
    let ours = replica.credentials.token().await.unwrap();
    let (slot, store) = (&replica.credentials.token.slot, world.store());
    let ends = Moment::now() + TOKEN_LIFETIME;
    let stored = store.compare_and_set(TOKEN_KEY, Some(ours.value.expose()), "token-2", TOKEN_LIFETIME);
    assert!(stored.await.unwrap());
    let seen = Stored {
        value: Secret::new("token-2"),
        expires_at: Some(ends),
    };
    let policy = &replica.credentials.policy;
    let newer = policy.credential(Kind::AccessToken, Secret::new("token-3"), ends);
    slot.retire_what_was_before(&newer, Some(&seen), Moment::now());
    slot.sync_with_store().await;
    assert_eq!(stored_token(&world).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn renewal_that_waits_for_the_lock_ends_if_a_clients_call_adopts_the_new_token() {
    let world = World::new(1);
    let replica = SimulatedReplica::start(&world, 1);
    let before = replica.credentials.token().await.unwrap();
    let (store, token) = (world.store(), Arc::clone(&replica.credentials.token));
    store.set_if_absent(LOCK_KEY, "another", LOCK_TTL).await.unwrap();
    let renewal = tokio::spawn(async move { token.renew(Trigger::Expiring).await });
    // It has found the lock taken, and pauses before it reads the store again.
    sleep(Duration::from_millis(22)).await;
    world.foreign_fetch();
    let (old, new) = (before.value.expose(), "token-2");
    let is_published = store.compare_and_set(TOKEN_KEY, Some(old), new, TOKEN_LIFETIME).await;
    assert!(is_published.unwrap());
    let ours = replica.credentials.recognise_elsewhere(&Secret::new(new)).await;
    ours.unwrap().unwrap();
    store.compare_and_delete(LOCK_KEY, "another").await.unwrap();
    assert_eq!(renewal.await.unwrap().unwrap().value.expose(), new);
    assert_eq!(world.token_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn replica_that_backs_off_from_a_takeover_adopts_what_another_has_obtained() {
    let world = World::new(1);
    let losing = SimulatedReplica::start(&world, 1);
    while losing.call().await.is_ok() {
        // Twice, because our token outlives the first fetch by the overlap.
        world.foreign_fetch();
        world.foreign_fetch();
    }
    let other = SimulatedReplica::start(&world, 2);
    // It waits too, unless an operator requests a token now.
    other.call().await.unwrap_err();
    other.credentials.renew_now(Kind::AccessToken).await.unwrap();
    losing.call().await.unwrap();
    assert_eq!(losing.usable_token(), other.usable_token());
}

#[tokio::test(start_paused = true)]
async fn operators_token_is_published_over_the_one_that_another_replica_has_just_obtained() {
    let world = World::new(1);
    let replica = SimulatedReplica::start(&world, 1);
    let (credentials, store) = (&replica.credentials, world.store());
    let before = credentials.token().await.unwrap();
    world.foreign_fetch();
    let published = store.compare_and_set(TOKEN_KEY, Some(before.value.expose()), "token-2", TOKEN_LIFETIME);
    assert!(published.await.unwrap());
    let refresher = async {
        until_the_second_call(&world).await;
        credentials.token.slot.sync_with_store().await;
        assert_eq!(replica.usable_token().unwrap(), "token-2");
    };
    let (renewed, ()) = tokio::join!(credentials.renew_now(Kind::AccessToken), refresher);
    assert_eq!(renewed.unwrap().value.expose(), "token-3");
    assert_eq!(stored_token(&world).await, "token-3");
}

#[tokio::test(start_paused = true)]
async fn new_token_replaces_the_old_one_that_another_replica_publishes_again_in_an_empty_store() {
    for is_adopted_first in [false, true] {
        let world = without_traffic();
        let warm = SimulatedReplica::start(&world, 1);
        let before = warm.credentials.token().await.unwrap();
        world
            .store()
            .compare_and_delete(TOKEN_KEY, before.value.expose())
            .await
            .unwrap();
        let cold = SimulatedReplica::start(&world, 2);
        let others = async {
            until_the_second_call(&world).await;
            warm.credentials.token.slot.sync_with_store().await;
            if is_adopted_first {
                cold.credentials.token.slot.sync_with_store().await;
                assert_eq!(cold.usable_token().unwrap(), "token-1");
            }
        };
        let (obtained, ()) = tokio::join!(cold.credentials.token(), others);
        assert_eq!(obtained.unwrap().value.expose(), "token-2");
        assert_eq!(stored_token(&world).await, "token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn new_token_replaces_the_old_one_even_if_the_lock_is_lost_with_the_stores_data() {
    let world = without_traffic();
    let [one, other] = [1, 2].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(other.usable_token().unwrap(), "token-1");
    world.empty_store();
    let others = async {
        until_the_second_call(&world).await;
        world.empty_store();
        one.credentials.token.slot.sync_with_store().await;
    };
    let (renewed, ()) = tokio::join!(other.credentials.renew_now(Kind::AccessToken), others);
    assert_eq!(renewed.unwrap().value.expose(), "token-2");
    assert_eq!(stored_token(&world).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn two_renewals_before_the_store_loses_its_data_leave_one_token() {
    let world = without_traffic();
    let [one, other] = [1, 2].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_secs(3)).await;
    let renewals = [&one, &other].map(|replica| replica.credentials.renew_now(Kind::AccessToken));
    futures_util::future::join_all(renewals).await;
    world.empty_store();
    let first = [&one, &other]
        .into_iter()
        .find(|replica| replica.usable_token().unwrap() == "token-2");
    first.unwrap().credentials.token.slot.sync_with_store().await;
    assert_eq!(stored_token(&world).await, "token-2");
    sleep(Duration::from_secs(5)).await;
    for replica in [&one, &other] {
        assert_eq!(replica.usable_token().unwrap(), "token-3");
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_a_crashed_replica_may_have_replaced_is_renewed_without_traffic() {
    let world = without_traffic();
    let mut crashing = SimulatedReplica::start(&world, 1);
    let others = [2, 3].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_secs(1)).await;
    crashing.operator_renews();
    until_the_second_call(&world).await;
    crashing.crash();
    sleep(LOCK_TTL * 2 + Duration::from_secs(5)).await;
    for other in &others {
        assert_eq!(other.usable_token().as_deref(), Some("token-3"));
    }
    assert!(world.accepts("token-3"));
    assert_eq!(world.token_calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn token_that_may_have_been_replaced_is_renewed_after_a_restart_of_all_replicas() {
    let world = without_traffic();
    let mut crashing = SimulatedReplica::start(&world, 1);
    sleep(Duration::from_secs(1)).await;
    crashing.operator_renews();
    until_the_second_call(&world).await;
    crashing.crash();
    sleep(LOCK_TTL * 2 + Duration::from_secs(1)).await;
    let restarted = SimulatedReplica::start(&world, 2);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(restarted.usable_token().as_deref(), Some("token-3"));
    assert!(world.accepts("token-3"));
}

#[tokio::test(start_paused = true)]
async fn lock_that_expires_before_each_call_costs_few_of_the_days_calls() {
    let world = World::with(1, |world| world.call_limit = LOCK_TTL);
    let replica = SimulatedReplica::start(&world, 1);
    sleep(Duration::from_mins(5)).await;
    let counted = replica.credentials.token.budget.spent();
    assert!((5..=25).contains(&counted), "{counted} calls counted");
    assert!(world.token_calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn lost_answers_cost_a_cluster_no_more_calls_than_one_replica() {
    let world = without_traffic();
    let mut replicas = [1, 2, 3, 4].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_secs(1)).await;
    replicas[0].operator_renews();
    for _ in 0..150 {
        world.lose_next_answer();
        sleep(Duration::from_millis(100)).await;
    }
    let calls = world.token_calls().len();
    assert!((4..=8).contains(&calls), "{calls} token calls");
}

async fn stored_token(world: &World) -> String {
    world.store().get(TOKEN_KEY).await.unwrap().unwrap().value
}

/// Waits until WeChat is asked for a second token.
async fn until_the_second_call(world: &World) {
    while world.token_calls().len() == 1 {
        sleep(Duration::from_millis(1)).await;
    }
}

fn without_traffic() -> Arc<World> {
    World::with(1, |world| world.traffic_pause = Duration::from_hours(1))
}

/// A replica in a long wait, because another system has replaced each of its tokens at once.
async fn after_a_long_fight(seed: u64) -> (Arc<World>, SimulatedReplica) {
    let world = World::new(seed);
    let replica = SimulatedReplica::start(&world, 1);
    let failing = || replica.credentials.status(Kind::AccessToken).failing;
    while failing().is_none_or(|failing| failing.retry_after < Duration::from_mins(30)) {
        let _ = replica.credentials.renew_now(Kind::AccessToken).await;
        while replica.call().await.is_ok() {
            world.foreign_fetch();
            world.foreign_fetch();
        }
    }
    (world, replica)
}

#[tokio::test(start_paused = true)]
async fn operator_does_not_get_the_refusal_of_a_renewal_that_backs_off() {
    let (_, replica) = after_a_long_fight(1).await;
    let credentials = Arc::clone(&replica.credentials);
    let refused = tokio::spawn(async move { credentials.token().await });
    // It waits for a token that another replica may obtain.
    sleep(Duration::from_millis(1)).await;
    assert!(!refused.is_finished());
    replica.credentials.renew_now(Kind::AccessToken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn token_that_stays_good_ends_the_wait_after_rejections() {
    let (world, replica) = after_a_long_fight(1).await;
    replica.credentials.renew_now(Kind::AccessToken).await.unwrap();
    sleep(TOKEN_LIFETIME / 4).await;
    let status = replica.credentials.status(Kind::AccessToken);
    assert!(status.failing.is_none(), "{status:?}");
    let waits_of_all = world.store().get(MARK).await.unwrap();
    assert!(waits_of_all.is_none(), "{waits_of_all:?}");
    sleep(TOKEN_LIFETIME).await;
    assert!(replica.usable_token().is_some(), "it is renewed again");
}

#[tokio::test(start_paused = true)]
async fn wait_that_has_just_begun_is_ended_for_the_whole_cluster() {
    for seed in 0..60 {
        let (world, replica) = after_a_long_fight(seed).await;
        let (credentials, store) = (&replica.credentials, world.store());
        credentials.renew_now(Kind::AccessToken).await.unwrap();
        let mark = store.get(MARK).await.unwrap().unwrap().value;
        store.compare_and_delete(MARK, &mark).await.unwrap();
        world.foreign_fetch();
        world.foreign_fetch();
        let operator = async {
            while credentials.token.refusal().is_none() {
                sleep(Duration::from_millis(1)).await;
            }
            world.latency(0..10).await;
            credentials.retry_now();
        };
        let _ = tokio::join!(replica.call(), operator);
        sleep(Duration::from_millis(100)).await;
        let (mark, refusal) = (store.get(MARK).await.unwrap(), credentials.token.refusal());
        assert!(
            mark.is_none() && refusal.is_none(),
            "seed {seed}: {mark:?}, {refusal:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn wait_that_saves_calls_ends_with_the_day() {
    let world = World::with(1, |world| world.daily_token_calls = 1);
    world.wechat_down_for(Duration::from_hours(1));
    let replica = SimulatedReplica::start(&world, 1);
    sleep(Duration::from_secs(10)).await;
    let token = &replica.credentials.token;
    assert!(token.refusal().is_some());
    let mut day = "yesterday".to_owned();
    token.end_needless_waits(&mut day).await;
    assert!(token.refusal().is_none() && day != "yesterday");
}

/// Two replicas under traffic for a day, while WeChat rejects every token. A stable token is issued again; a classic
/// one may have been replaced by another system.
async fn assert_day_of_rejections_is_cheap(token_api: TokenApi) {
    let world = World::with(1, |world| {
        world.token_api = token_api;
        world.rejects_all = true;
        world.traffic_pause = Duration::from_secs(3);
    });
    let _replicas = [1, 2].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_hours(24)).await;
    let calls = world.token_calls();
    let tenth = Credentials::default().daily_token_calls / 10;
    assert!(calls.len() <= tenth as usize, "{} token calls", calls.len());
    let last = calls.last().unwrap().elapsed();
    assert!(last < Duration::from_hours(3), "it goes on trying: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn day_of_reissued_tokens_leaves_nine_tenths_of_the_token_calls() {
    assert_day_of_rejections_is_cheap(TokenApi::Stable).await;
}

#[tokio::test(start_paused = true)]
async fn day_of_a_classic_fight_leaves_nine_tenths_of_the_token_calls() {
    assert_day_of_rejections_is_cheap(TokenApi::Classic).await;
}

#[tokio::test(start_paused = true)]
async fn count_of_token_calls_is_known_to_all_and_outlives_the_stores_data() {
    let world = World::new(1);
    let [calling, other] = [1, 2].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_secs(3)).await;
    calling.credentials.renew_now(Kind::AccessToken).await.unwrap();
    sleep(Duration::from_mins(1)).await;
    let calls = world.token_calls().len() as u64;
    assert_eq!(other.credentials.token.budget.spent(), calls);
    world.empty_store();
    sleep(Duration::from_mins(1)).await;
    let new = SimulatedReplica::start(&world, 3);
    assert_eq!(
        new.credentials.token_calls_today().await,
        world.token_calls().len() as u64
    );
}

#[tokio::test(start_paused = true)]
async fn wechat_down_for_hours_leaves_token_calls_for_when_it_is_back() {
    let world = World::with(1, |world| {
        world.daily_token_calls = Credentials::default().daily_token_calls;
        world.traffic_pause = Duration::from_secs(10);
    });
    world.wechat_down_for(Duration::from_hours(6));
    let replicas = [1, 2, 3, 4].map(|seed| SimulatedReplica::start(&world, seed));
    sleep(Duration::from_hours(6)).await;
    assert_eq!(world.tokens_issued(), 0);
    let mut waited = Duration::ZERO;
    while replicas.iter().all(|replica| replica.usable_token().is_none()) {
        assert!(waited < Duration::from_hours(3), "no token though WeChat is back");
        sleep(Duration::from_mins(1)).await;
        waited += Duration::from_mins(1);
    }
}
