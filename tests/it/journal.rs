//! The journal in Redis: each fact about an event is a field of its own.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{Gateway, RedisServer, SandboxHost, always, until};

type Entry = HashMap<String, String>;

/// The first entry about `event`, once it is there.
async fn entry(redis: &RedisServer, wechat: &SandboxHost, event: &str) -> Entry {
    let app_id = wechat.account().app_id;
    until(&format!("{event} is in the journal"), || async {
        redis.journaled(&app_id, event).await > 0
    })
    .await;
    let entries = redis.journal_entries(&app_id).await;
    entries.into_iter().find(|entry| entry["event"] == event).unwrap()
}

fn names(entry: &Entry) -> BTreeSet<&str> {
    entry.keys().map(String::as_str).collect()
}

/// The fields that every entry has, and these.
fn usual_and<'a>(facts: &[&'a str]) -> BTreeSet<&'a str> {
    let usual = ["time", "event", "kind", "replica", "fingerprint", "reason"];
    usual.into_iter().chain(facts.iter().copied()).collect()
}

fn seconds(entry: &Entry, name: &str) -> u64 {
    entry[name].parse().unwrap()
}

#[tokio::test]
async fn journal_entries_hold_facts_as_fields() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = Gateway::builder().wechat(&wechat).redis(&redis).start().await;
    gateway.until_ready().await;
    let first = wxgate::secret::Secret::new(gateway.token().await).fingerprint();

    let issued = entry(&redis, &wechat, "issued").await;
    assert_eq!(names(&issued), usual_and(&["life_s"]));
    assert_eq!((&*issued["kind"], &issued["fingerprint"]), ("access_token", &first));
    assert!((7100..=7200).contains(&seconds(&issued, "life_s")), "{issued:?}");
    assert_eq!(issued["reason"], "");

    let handed_out = entry(&redis, &wechat, "handed_out").await;
    assert_eq!(names(&handed_out), usual_and(&["client", "address", "left_s"]));
    assert_eq!(
        (&*handed_out["client"], &*handed_out["address"], &*handed_out["reason"]),
        ("AppSecret", "127.0.0.1", "")
    );

    wechat.kill_token();
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));

    let rejected = entry(&redis, &wechat, "rejected").await;
    assert_eq!(names(&rejected), usual_and(&["errcode", "left_s"]));
    assert_eq!((&*rejected["errcode"], &rejected["fingerprint"]), ("40001", &first));
    assert!(!rejected["reason"].contains("40001"), "{rejected:?}");

    let foreign = entry(&redis, &wechat, "foreign_invalidation").await;
    assert_eq!(names(&foreign), usual_and(&["left_s"]));
    assert_eq!(foreign["fingerprint"], first);
    assert!((7000..=7200).contains(&seconds(&foreign, "left_s")), "{foreign:?}");

    let other = Gateway::builder().wechat(&wechat).redis(&redis).start().await;
    other.until_ready().await;
    let adopted = entry(&redis, &wechat, "adopted").await;
    assert_eq!(names(&adopted), usual_and(&["left_s"]));
    assert_ne!(adopted["replica"], issued["replica"]);
    assert_eq!(adopted["reason"], "");
}

#[tokio::test]
async fn journal_says_that_an_operator_asked_for_a_token() {
    let (redis, key) = (RedisServer::start().await, "an-operator-s-key-of-some-length");
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().wechat(&wechat).redis(&redis).classic();
    let gateway = builder.set("internal.operator_key", key).start().await;
    gateway.until_ready().await;
    assert_eq!(gateway.operator_renews("access_token", key).await.body["changed"], true);
    let renewed = entry(&redis, &wechat, "renewed").await;
    assert_eq!(renewed["reason"], "operator");
}

#[tokio::test]
async fn journal_names_the_errcode_of_a_refused_renewal() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let refusal = Fault::Errcode {
        code: 40164,
        message: Some("invalid ip 203.0.113.7".to_owned()),
    };
    wechat.sandbox.inject(refusal.on(Api::StableToken));
    let _gateway = Gateway::builder().wechat(&wechat).redis(&redis).start().await;
    let failed = entry(&redis, &wechat, "renewal_failed").await;
    assert_eq!(names(&failed), usual_and(&["errcode"]));
    assert_eq!(failed["errcode"], "40164");
    assert!(failed["reason"].starts_with("invalid ip 203.0.113.7"), "{failed:?}");
}

/// A frozen Redis runs everything that it was sent once it continues.
#[tokio::test]
async fn journal_of_a_redis_that_was_frozen_has_each_entry_once() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let builder = Gateway::builder().wechat(&wechat).redis(&redis);
    let gateway = builder.set("redis.response_timeout", "300ms").start().await;
    gateway.until_ready().await;
    until("the entries of the start are written", || async {
        redis.journal(&app_id).await.len() == 2
    })
    .await;

    redis.signal("STOP");
    gateway.token().await;
    // Several times as long as the pause before a retry.
    tokio::time::sleep(Duration::from_secs(7)).await;
    redis.signal("CONT");
    until("the entry is written", || async {
        redis.journaled(&app_id, "handed_out").await > 0
    })
    .await;
    always("it is written once", Duration::from_secs(4), || async {
        redis.journaled(&app_id, "handed_out").await == 1
    })
    .await;
}
