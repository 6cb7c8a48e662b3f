//! What is stored and what is not: limits, kinds, broken bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;
use wxgate::credentials::TokenCallError;
use wxgate::image_store::StoreFailure;
use wxgate::picture::PictureKind;
use wxgate::settings;
use wxgate::store::MemoryStore;
use wxgate::upload::{Rejection, UploadError};
use wxgate::wechat::{BodyProblem, CallError, MediaDownload};

use crate::fakes::{
    Behaviour, FakeStore, FakeWeChat, Gateway, MEDIA_TIMEOUT, PHOTO, call_error, download, download_then,
};

#[tokio::test]
async fn picture_of_exactly_the_limit_is_accepted() {
    for announced in [Some(PHOTO.len()), None] {
        let store = FakeStore::new(Behaviour::Good);
        let limit = |media: &mut settings::Media| media.max_bytes = PHOTO.len() as u64;
        let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), limit);
        gateway
            .upload(&FakeWeChat::new(move || Ok(download(PHOTO, announced))))
            .await
            .unwrap();
        assert_eq!(store.stored(), [PHOTO]);
    }
}

#[tokio::test]
async fn one_byte_too_many_is_refused_announced_or_not() {
    let limit = PHOTO.len() as u64 - 1;
    for (announced, puts) in [(Some(PHOTO.len()), 0), (None, 1)] {
        let store = FakeStore::new(Behaviour::Good);
        let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), |media| {
            media.max_bytes = limit;
        });
        let wechat = FakeWeChat::new(move || Ok(download(PHOTO, announced)));
        let error = gateway.upload(&wechat).await.unwrap_err();
        assert!(
            matches!(error, UploadError::Rejected(Rejection::TooLarge { limit: l, .. }) if l == limit),
            "{error}"
        );
        assert_eq!((store.puts(), store.aborted(), store.stored().len()), (puts, puts, 0));
        assert_eq!((gateway.count("rejected"), wechat.downloads()), (1.0, 1));
    }
}

#[tokio::test]
async fn disallowed_picture_never_reaches_the_store() {
    const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    const GZIP: &[u8] = &[0x1F, 0x8B, 0x08, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xD8, 0xFF];
    const PNG: &[u8] = include_bytes!("../fixtures/photos/portrait.png");
    let store = FakeStore::new(Behaviour::Good);
    let only_jpeg = |media: &mut settings::Media| media.allowed_types = vec![PictureKind::Jpeg];
    let gateway = Gateway::build(&store, Arc::new(MemoryStore::default()), only_jpeg);
    for content in [
        SVG,
        GZIP,
        PNG,
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xFF",
        b"BM is a text",
    ] {
        let error = gateway.upload(&FakeWeChat::sending(content)).await.unwrap_err();
        assert!(
            matches!(error, UploadError::Rejected(Rejection::NotAPicture { .. })),
            "{error}"
        );
    }
    let video = FakeWeChat::new(|| Err(call_error(CallError::Body(BodyProblem::Video))));
    let error = gateway.upload(&video).await.unwrap_err();
    assert!(matches!(error, UploadError::Rejected(Rejection::Video)), "{error}");
    let error = gateway.upload(&FakeWeChat::sending(b"")).await.unwrap_err();
    let empty = |error: &UploadError| {
        matches!(
            error,
            UploadError::WeChat(TokenCallError::Call(CallError::Body(BodyProblem::Empty)))
        )
    };
    assert!(empty(&error), "{error}");
    assert_eq!(store.puts(), 0);
    assert_eq!((gateway.count("rejected"), gateway.count("wechat_error")), (7.0, 1.0));
}

/// What WeChat sends, and the error that this must end in.
type Case = (fn(usize) -> MediaDownload, fn(&CallError) -> bool);

#[tokio::test]
async fn body_that_is_cut_off_aborts_the_store_and_is_wechats_failure() {
    let cut_off = |error: &CallError| matches!(error, CallError::Body(BodyProblem::CutOff));
    let interrupted = |error: &CallError| matches!(error, CallError::Interrupted(_));
    let unexpected = |error: &CallError| matches!(error, CallError::Body(BodyProblem::Unexpected));
    let cases: [Case; 3] = [
        (
            |_| {
                download_then(
                    PHOTO,
                    stream::iter([Err(CallError::Interrupted("reset".to_owned()))]).boxed(),
                )
            },
            interrupted,
        ),
        (|length| download(PHOTO, Some(length + 1)), cut_off),
        (|length| download(PHOTO, Some(length - 1)), unexpected),
    ];
    for (answer, expected) in cases {
        let store = FakeStore::new(Behaviour::Good);
        let gateway = Gateway::new(&store);
        let wechat = FakeWeChat::new(move || Ok(answer(PHOTO.len())));
        let error = gateway.upload(&wechat).await.unwrap_err();
        let UploadError::WeChat(TokenCallError::Call(error)) = error else {
            panic!("{error}")
        };
        assert!(expected(&error), "{error}");
        assert_eq!((store.aborted(), store.stored().len()), (1, 0));
        assert_eq!(wechat.downloads(), 1, "WeChat's failures are not tried again here");
        assert_eq!(gateway.count("wechat_error"), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn download_that_takes_too_long_is_wechats_failure() {
    let store = FakeStore::new(Behaviour::Good);
    let gateway = Gateway::new(&store);
    let drip = || {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok(Bytes::from_static(b".")), ()))
        });
        Ok(MediaDownload {
            content_length: None,
            ..download_then(PHOTO, drops.boxed())
        })
    };
    let began = Instant::now();
    let error = gateway.upload(&FakeWeChat::new(drip)).await.unwrap_err();
    assert!(
        matches!(error, UploadError::WeChat(TokenCallError::Call(CallError::TimedOut))),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), MEDIA_TIMEOUT.as_secs());
    assert_eq!(
        (store.aborted(), store.stored().len(), gateway.count("timeout")),
        (1, 0, 1.0)
    );
}

#[tokio::test]
async fn store_that_answers_before_the_end_of_the_picture_has_failed() {
    let store = FakeStore::new(Behaviour::Lies);
    let error = Gateway::new(&store)
        .upload(&FakeWeChat::sending(PHOTO))
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::Store(StoreFailure::Refused(_))), "{error}");
}
