//! A picture is stored once, no matter how often, when and on which replica it is asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;
use wxgate::image_store::StoreFailure;
use wxgate::settings;
use wxgate::store::{MemoryStore, SharedStore};
use wxgate::upload::UploadError;

use crate::fakes::{
    Behaviour, FakeStore, FakeWeChat, Gateway, LEASE_KEY, NoStore, PHOTO, URL_KEY, download_then, until,
};

#[tokio::test]
async fn photo_is_stored_once_and_remembered() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let gateway = Gateway::new(&store);
    let url = gateway.upload(&wechat).await.unwrap();
    assert_eq!(&*url, "https://img.example.com/0.jpg");
    assert_eq!(gateway.upload(&wechat).await.unwrap(), url);
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((wechat.downloads(), store.aborted()), (1, 0));
    assert_eq!((gateway.count("stored"), gateway.count("remembered")), (1.0, 1.0));
    let bytes = f64::from(u32::try_from(PHOTO.len()).unwrap());
    assert_eq!(gateway.metric("wxgate_upload_bytes_total", None), bytes);
    assert_eq!(gateway.metric("wxgate_uploads_in_flight", None), 0.0);
}

#[tokio::test(start_paused = true)]
async fn fifty_at_once_over_two_gateways_store_one_picture() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::waiting());
    let shared: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let gateways = [
        Gateway::build(&store, Arc::clone(&shared), |_| {}),
        Gateway::build(&store, shared, |_| {}),
    ];
    let uploads = join_all((0..50).map(|n| gateways[n % 2].upload(&wechat)));
    let let_go = async {
        until(|| store.puts() == 1).await;
        // Enough time for a second upload to begin, if there were one.
        tokio::time::sleep(Duration::from_secs(20)).await;
        store.let_go(50);
    };
    let (urls, ()) = tokio::join!(uploads, let_go);
    for url in urls {
        assert_eq!(&*url.unwrap(), "https://img.example.com/0.jpg");
    }
    assert_eq!((wechat.downloads(), store.puts()), (1, 1));
    let both = |outcome| gateways[0].count(outcome) + gateways[1].count(outcome);
    assert_eq!((both("stored"), both("remembered"), both("joined")), (1.0, 1.0, 48.0));
}

#[tokio::test]
async fn callers_share_an_upload_in_flight_even_if_nothing_is_remembered() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    let forget = |media: &mut settings::Media| media.remember_for = Duration::ZERO;
    let gateway = Gateway::build(&store, shared.clone(), forget);
    let urls = join_all((0..10).map(|_| gateway.upload(&wechat))).await;
    assert!(
        urls.iter()
            .all(|url| url.as_deref().unwrap() == "https://img.example.com/0.jpg")
    );
    assert_eq!(wechat.downloads(), 1);
    assert_eq!(
        &*gateway.upload(&wechat).await.unwrap(),
        "https://img.example.com/1.jpg"
    );
    assert_eq!(shared.get(URL_KEY).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn url_is_remembered_for_remember_for() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    let gateway = Gateway::build(&store, shared.clone(), |_| {});
    let url = gateway.upload(&wechat).await.unwrap();
    let entry = shared.get(URL_KEY).await.unwrap().unwrap();
    let three_days = Duration::from_hours(72);
    assert_eq!((entry.value.as_str(), entry.ttl), (&*url, Some(three_days)));
    tokio::time::advance(three_days).await;
    assert_ne!(gateway.upload(&wechat).await.unwrap(), url);
}

#[tokio::test(start_paused = true)]
async fn lease_does_not_block_uploads_after_the_url_is_forgotten() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    let soon = Duration::from_secs(2);
    let gateway = Gateway::build(&store, shared.clone(), |media| media.remember_for = soon);
    let url = gateway.upload(&wechat).await.unwrap();
    let lease = shared.get(LEASE_KEY).await.unwrap().unwrap();
    assert!(lease.ttl.unwrap() <= soon, "{lease:?}");
    tokio::time::advance(soon).await;
    let began = Instant::now();
    assert_ne!(gateway.upload(&wechat).await.unwrap(), url);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn lease_of_a_dead_replica_is_taken_over() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    // The dead replica has left no URL, and a lease that is not renewed.
    assert!(
        shared
            .set_if_absent(LEASE_KEY, "the dead one", Duration::from_secs(10))
            .await
            .unwrap()
    );
    let gateway = Gateway::build(&store, shared, |_| {});
    let began = Instant::now();
    gateway.upload(&wechat).await.unwrap();
    let waited = began.elapsed().as_secs_f64();
    assert!((10.0..11.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn slow_upload_keeps_its_lease() {
    let shared: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let slow = FakeWeChat::new(|| {
        let wait = tokio::time::sleep(Duration::from_secs(25));
        let late = stream::once(wait.map(|()| Ok(Bytes::from_static(b"."))));
        Ok(download_then(PHOTO, late.boxed()))
    });
    let store = FakeStore::new(Behaviour::Good);
    let gateways = [
        Gateway::build(&store, Arc::clone(&shared), |_| {}),
        Gateway::build(&store, shared, |_| {}),
    ];
    let (one, other) = tokio::join!(gateways[0].upload(&slow), gateways[1].upload(&slow));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(slow.downloads(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_for_another_replicas_upload_is_limited() {
    let shared = Arc::new(MemoryStore::default());
    assert!(
        shared
            .set_if_absent(LEASE_KEY, "one that never ends", Duration::from_hours(1))
            .await
            .unwrap()
    );
    let gateway = Gateway::build(&FakeStore::new(Behaviour::Good), shared, |_| {});
    let error = gateway.upload(&FakeWeChat::sending(PHOTO)).await.unwrap_err();
    assert!(matches!(error, UploadError::TimedOut), "{error}");
}

#[tokio::test(start_paused = true)]
async fn uploads_succeed_while_the_shared_store_is_unreachable() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let gateway = Gateway::build(&store, Arc::new(NoStore), |_| {});
    let began = Instant::now();
    let urls = join_all((0..10).map(|_| gateway.upload(&wechat))).await;
    assert!(urls.iter().all(Result::is_ok));
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "no upload waits for a store that is down"
    );
    assert_eq!(store.stored(), [PHOTO], "stored once per process even so");
}

#[tokio::test(start_paused = true)]
async fn frozen_replica_answers_the_url_of_its_successor() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::waiting());
    let shared = Arc::new(MemoryStore::default());
    let gateway = Gateway::build(&store, shared.clone(), |_| {});
    let others = async {
        until(|| store.puts() == 1).await;
        // The lease has gone to another replica, which has stored the picture meanwhile.
        let lease = shared.get(LEASE_KEY).await.unwrap().unwrap().value;
        let hour = Duration::from_hours(1);
        assert!(
            shared
                .compare_and_set(LEASE_KEY, Some(&lease), "another", hour)
                .await
                .unwrap()
        );
        let url = "https://img.example.com/another.jpg";
        assert!(shared.set_if_absent(URL_KEY, url, hour).await.unwrap());
        store.let_go(1);
    };
    let (url, ()) = tokio::join!(gateway.upload(&wechat), others);
    assert_eq!(&*url.unwrap(), "https://img.example.com/another.jpg");
    let lease = shared.get(LEASE_KEY).await.unwrap().unwrap();
    assert_eq!(lease.value, "another", "not ours to release");
}

#[tokio::test(start_paused = true)]
async fn waiting_replica_uploads_after_anothers_failure() {
    let shared: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let failing = FakeStore::failing((0..3).map(|_| StoreFailure::TimedOut).collect());
    let good = FakeStore::new(Behaviour::Good);
    let gateways = [
        Gateway::build(&failing, Arc::clone(&shared), |_| {}),
        Gateway::build(&good, shared, |_| {}),
    ];
    let wechat = FakeWeChat::sending(PHOTO);
    let second = async {
        until(|| failing.puts() == 1).await;
        gateways[1].upload(&wechat).await
    };
    let (first, second) = tokio::join!(gateways[0].upload(&wechat), second);
    assert!(
        matches!(first, Err(UploadError::Store(StoreFailure::TimedOut))),
        "{first:?}"
    );
    assert_eq!(&*second.unwrap(), "https://img.example.com/0.jpg");
    assert_eq!((failing.puts(), good.puts()), (3, 1));
}

#[tokio::test]
async fn blank_remembered_url_is_ignored() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Good));
    let shared = Arc::new(MemoryStore::default());
    assert!(
        shared
            .set_if_absent(URL_KEY, " ", Duration::from_mins(1))
            .await
            .unwrap()
    );
    let gateway = Gateway::build(&store, shared, |_| {});
    assert_eq!(
        &*gateway.upload(&wechat).await.unwrap(),
        "https://img.example.com/0.jpg"
    );
}
