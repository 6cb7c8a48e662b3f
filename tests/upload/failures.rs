//! What happens when something fails, is full, or goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wxgate::credentials::{TokenCallError, Unavailable};
use wxgate::image_store::StoreFailure;
use wxgate::settings;
use wxgate::store::{MemoryStore, SharedStore};
use wxgate::upload::UploadError;
use wxgate::wechat::{CallError, ErrCode};

use crate::fakes::{
    Behaviour, FakeStore, FakeWeChat, Gateway, LEASE_KEY, MEDIA_TIMEOUT, PHOTO, URL_KEY, call_error, download, until,
};

#[tokio::test]
async fn photo_is_stored_after_the_caller_hangs_up() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::waiting());
    let gateway = Gateway::new(&store);
    tokio::select! {
        _ = gateway.upload(&wechat) => panic!("the store waits"),
        () = until(|| store.puts() == 1) => {}
    }
    assert_eq!(gateway.in_flight(), 1.0);
    store.let_go(1);
    gateway.drain().await;
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!(
        &*gateway.upload(&wechat).await.unwrap(),
        "https://img.example.com/0.jpg"
    );
    assert_eq!(wechat.downloads(), 1);
}

#[tokio::test]
async fn upload_that_outlives_the_drain_is_cancelled_and_leaves_nothing() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::waiting());
    let shared = Arc::new(MemoryStore::default());
    let gateway = Gateway::build(&store, shared.clone(), |_| {});
    let stop = async {
        until(|| store.puts() == 1).await;
        gateway.stop.cancel();
        gateway.drain().await;
    };
    let (result, ()) = tokio::join!(gateway.upload(&wechat), stop);
    assert!(matches!(result, Err(UploadError::Lost)), "{result:?}");
    assert_eq!((store.aborted(), store.stored().len()), (1, 0));
    for key in [URL_KEY, LEASE_KEY] {
        assert_eq!(shared.get(key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn failure_is_not_remembered() {
    let calls = AtomicUsize::new(0);
    let wechat = FakeWeChat::new(move || {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            let message = "invalid media_id".to_owned();
            Err(call_error(CallError::Refused {
                code: ErrCode(40007),
                message,
            }))
        } else {
            Ok(download(PHOTO, None))
        }
    });
    let store = FakeStore::new(Behaviour::Good);
    let gateway = Gateway::new(&store);
    let error = gateway.upload(&wechat).await.unwrap_err();
    let UploadError::WeChat(TokenCallError::Call(error)) = error else {
        panic!("{error}")
    };
    assert_eq!(error.errcode(), Some(ErrCode(40007)));
    gateway.upload(&wechat).await.unwrap();
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((gateway.count("not_found"), gateway.count("stored")), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn store_that_hangs_times_out_and_is_named() {
    let limits = [
        (Behaviour::Hangs, MEDIA_TIMEOUT),
        (
            Behaviour::Waits(Semaphore::new(0)),
            MEDIA_TIMEOUT + Duration::from_secs(10),
        ),
    ];
    for (behaviour, limit) in limits {
        let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(behaviour));
        let gateway = Gateway::new(&store);
        let began = Instant::now();
        let error = gateway.upload(&wechat).await.unwrap_err();
        assert!(matches!(error, UploadError::Store(StoreFailure::TimedOut)), "{error}");
        let (took, tries) = (began.elapsed(), limit * 3);
        assert!(took >= tries && took < tries + Duration::from_secs(1), "{took:?}");
        assert_eq!((store.puts(), store.aborted(), wechat.downloads()), (3, 3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn transient_store_failure_is_retried_with_a_fresh_download() {
    let failures = vec![StoreFailure::TimedOut, StoreFailure::Broken("reset".to_owned())];
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::failing(failures));
    let gateway = Gateway::new(&store);
    let began = Instant::now();
    gateway.upload(&wechat).await.unwrap();
    assert_eq!(store.stored(), [PHOTO]);
    assert_eq!((wechat.downloads(), store.puts()), (3, 3));
    let paused = began.elapsed().as_millis();
    assert!(
        (300..=900).contains(&paused),
        "200 ms and 400 ms, each by 0.5 to 1.5: {paused} ms"
    );
    assert_eq!((gateway.count("stored"), gateway.count("store_error")), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn persistent_store_failure_ends_after_all_attempts() {
    let broken = || StoreFailure::Broken("HTTP status 507".to_owned());
    let (wechat, store) = (
        FakeWeChat::sending(PHOTO),
        FakeStore::failing((0..4).map(|_| broken()).collect()),
    );
    let gateway = Gateway::new(&store);
    let error = gateway.upload(&wechat).await.unwrap_err();
    assert!(matches!(error, UploadError::Store(StoreFailure::Broken(_))), "{error}");
    assert_eq!((wechat.downloads(), gateway.count("store_error")), (3, 1.0));
}

#[tokio::test]
async fn refusal_by_the_store_costs_one_download() {
    let refused = StoreFailure::Refused("HTTP status 403".to_owned());
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::failing(vec![refused]));
    let gateway = Gateway::new(&store);
    let error = gateway.upload(&wechat).await.unwrap_err();
    assert!(matches!(error, UploadError::Store(StoreFailure::Refused(_))), "{error}");
    assert_eq!((wechat.downloads(), store.puts()), (1, 1));
}

#[tokio::test]
async fn full_gateway_refuses_at_once_but_still_joins_and_recalls() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::waiting());
    let one = |media: &mut settings::Media| media.max_concurrent = 1;
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), one);
    store.let_go(1);
    let known = gateway.upload_id(&wechat, "known").await.unwrap();
    let first = gateway.upload_id(&wechat, "first");
    let others = async {
        until(|| gateway.in_flight() > 0.0).await;
        let error = gateway.upload_id(&wechat, "second").await.unwrap_err();
        assert!(
            matches!(error, UploadError::Overloaded { retry_after } if !retry_after.is_zero()),
            "{error}"
        );
        assert_eq!(gateway.upload_id(&wechat, "known").await.unwrap(), known);
        store.let_go(2);
        gateway.upload_id(&wechat, "first").await.unwrap()
    };
    let (first, joined) = tokio::join!(first, others);
    assert_eq!(first.unwrap(), joined);
    gateway.upload_id(&wechat, "second").await.unwrap();
    assert_eq!((gateway.count("overloaded"), gateway.count("stored")), (1.0, 3.0));
}

#[tokio::test]
async fn panic_in_an_upload_is_an_error_for_every_caller() {
    let (wechat, store) = (FakeWeChat::sending(PHOTO), FakeStore::new(Behaviour::Panics));
    let forget = |media: &mut settings::Media| media.remember_for = Duration::ZERO;
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), forget);
    for result in join_all((0..3).map(|_| gateway.upload(&wechat))).await {
        assert!(matches!(result, Err(UploadError::Lost)));
    }
    assert!(matches!(gateway.upload(&wechat).await, Err(UploadError::Lost)));
    assert_eq!(
        (wechat.downloads(), gateway.count("lost"), gateway.in_flight()),
        (2, 2.0, 0.0)
    );
}

#[tokio::test]
async fn upload_without_a_token_fails() {
    let wechat = FakeWeChat::new(|| {
        Err(TokenCallError::Unavailable(Unavailable {
            reason: "backing off".to_owned(),
            errcode: None,
            retry_after: Duration::from_secs(3),
        }))
    });
    let gateway = Gateway::new(&FakeStore::new(Behaviour::Good));
    let error = gateway.upload(&wechat).await.unwrap_err();
    assert!(
        matches!(error, UploadError::WeChat(TokenCallError::Unavailable(_))),
        "{error}"
    );
    assert_eq!((wechat.downloads(), gateway.count("unavailable")), (1, 1.0));
}
