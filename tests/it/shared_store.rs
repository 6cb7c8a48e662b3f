//! What uploads need of both stores: a claim of an existing value gets the value; of all claims of a missing one, only
//! one at a time is to create it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use wxgate::settings::Redis;
use wxgate::store::{Claimed, MemoryStore, RedisStore, SharedStore};

use crate::support::RedisServer;

const LIFE: Duration = Duration::from_mins(1);
const KEY: &str = "wxgate:test:a";

fn client(redis: &RedisServer) -> Arc<dyn SharedStore> {
    let url = format!("redis://{}/0", redis.address);
    let settings = serde_json::from_value(serde_json::json!({ "url": url, "response_timeout": "10s" }));
    let settings: Redis = settings.unwrap();
    Arc::new(RedisStore::new(&settings, Path::new("")).unwrap())
}

/// Two replicas' stores; in memory there can be but one.
async fn both_kinds() -> (RedisServer, [[Arc<dyn SharedStore>; 2]; 2]) {
    let redis = RedisServer::start().await;
    let memory: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let pairs = [[client(&redis), client(&redis)], [Arc::clone(&memory), memory]];
    (redis, pairs)
}

/// The lock on the making of `key`'s value: the braces keep both in one slot of a Redis Cluster.
fn lock_of(key: &str) -> String {
    format!("wxgate:test-lock:{{{key}}}")
}

async fn at(store: &Arc<dyn SharedStore>, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| entry.value)
}

#[tokio::test]
async fn value_is_created_by_one_and_found_by_the_others() {
    let (_redis, pairs) = both_kinds().await;
    let lock = lock_of(KEY);
    for [ours, theirs] in pairs {
        assert_eq!(ours.claim(KEY, &lock, "us", LIFE).await.unwrap(), Claimed::Ours);
        assert_eq!(theirs.claim(KEY, &lock, "them", LIFE).await.unwrap(), Claimed::Theirs);
        assert_eq!(at(&theirs, &lock).await.as_deref(), Some("us"));

        assert!(ours.set_if_absent(KEY, "made", LIFE).await.unwrap());
        let made = Claimed::Exists("made".to_owned());
        assert_eq!(theirs.claim(KEY, &lock, "them", LIFE).await.unwrap(), made);
        assert_eq!(at(&theirs, &lock).await.as_deref(), Some("us"));

        assert!(ours.compare_and_delete(&lock, "us").await.unwrap());
        assert_eq!(theirs.claim(KEY, &lock, "them", LIFE).await.unwrap(), made);
        assert_eq!(
            at(&ours, &lock).await,
            None,
            "a claim that finds the value keeps no lock"
        );
    }
}

#[tokio::test]
async fn blank_value_is_created_again() {
    let (_redis, pairs) = both_kinds().await;
    let lock = lock_of(KEY);
    for [ours, theirs] in pairs {
        assert!(ours.set_if_absent(KEY, " \n", LIFE).await.unwrap());
        assert_eq!(ours.claim(KEY, &lock, "us", LIFE).await.unwrap(), Claimed::Ours);
        assert_eq!(theirs.claim(KEY, &lock, "them", LIFE).await.unwrap(), Claimed::Theirs);
        assert!(ours.set_if_absent(KEY, "made", LIFE).await.unwrap());
        assert_eq!(at(&theirs, KEY).await.as_deref(), Some("made"));
    }
}

#[tokio::test]
async fn stored_value_is_readable_from_a_read_only_redis() {
    let redis = RedisServer::start().await;
    let store = client(&redis);
    let lock = lock_of(KEY);
    assert!(store.set_if_absent(KEY, "made", LIFE).await.unwrap());
    redis.refuse_writes().await;
    let made = Claimed::Exists("made".to_owned());
    assert_eq!(store.claim(KEY, &lock, "us", LIFE).await.unwrap(), made);

    let other = "wxgate:test:b";
    let refused = store.claim(other, &lock_of(other), "us", LIFE).await;
    assert!(refused.unwrap_err().to_string().contains("read only replica"));
    assert!(store.health().error.is_some());
}

/// Many values are claimed and created over two connections, without synchronisation.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_have_one_winner() {
    let (_redis, pairs) = both_kinds().await;
    for stores in pairs {
        let mut claimers = JoinSet::new();
        for number in 0..100 {
            let (key, made) = (format!("wxgate:test:{number}"), Arc::new(AtomicUsize::new(0)));
            for claimer in 0..6 {
                let (store, key, made) = (Arc::clone(&stores[claimer % 2]), key.clone(), Arc::clone(&made));
                claimers.spawn(async move {
                    let (lock, me) = (lock_of(&key), claimer.to_string());
                    loop {
                        match store.claim(&key, &lock, &me, LIFE).await.unwrap() {
                            Claimed::Exists(value) => break assert_eq!(value, "made"),
                            Claimed::Theirs => {}
                            Claimed::Ours => {
                                made.fetch_add(1, Ordering::SeqCst);
                                assert!(store.set_if_absent(&key, "made", LIFE).await.unwrap());
                                store.compare_and_delete(&lock, &me).await.unwrap();
                            }
                        }
                    }
                    assert_eq!(made.load(Ordering::SeqCst), 1, "{key} was created more than once");
                });
            }
        }
        while let Some(claimer) = claimers.join_next().await {
            claimer.unwrap();
        }
    }
}
