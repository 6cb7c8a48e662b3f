//! What every store must do.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use wxgate::image_store::{ImageName, Picture};
use wxgate::picture::PictureKind;

use crate::support::{Fixture, Stored, large, photos, picture, pieces};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn photos_are_stored_byte_for_byte_under_random_names() {
    for fixture in Fixture::all().await {
        let mut urls = Vec::new();
        for (kind, content) in photos() {
            for announced in [true, false] {
                let url = fixture.store.put(picture(kind, &content, announced)).await.unwrap();
                let Stored {
                    name,
                    content_type,
                    content: stored,
                } = fixture.read(&url).await;
                assert!(stored == content, "{}: {name} differs", fixture.name);
                assert_eq!(content_type, kind.media_type(), "{}", fixture.name);
                assert_eq!(
                    ImageName::parse(&name).map(|name| name.kind()),
                    Some(kind),
                    "{}: {name}",
                    fixture.name
                );
                assert!(!urls.contains(&url), "{}", fixture.name);
                urls.push(url);
            }
        }
    }
}

#[tokio::test]
async fn picture_is_gone_after_removal() {
    let content = large(1000);
    for fixture in Fixture::all().await {
        let url = fixture
            .store
            .put(picture(PictureKind::Png, &content, true))
            .await
            .unwrap();
        let taken = fixture.store.take_back(&url).await.unwrap();
        if fixture.name == "http" {
            assert_eq!(taken, None, "an upload service keeps what it has");
            continue;
        }
        assert!(taken.is_some_and(|bytes| bytes == content), "{}", fixture.name);
        fixture.store.take_back(&url).await.expect_err("it is gone");
        assert_eq!(fixture.store.take_back("https://a.cn/none.png").await.unwrap(), None);
    }
}

#[tokio::test]
async fn large_pictures_are_stored_byte_for_byte() {
    // Around the sizes at which an S3 upload needs one more part.
    let lengths = [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 11 * MIB + 4711];
    for fixture in Fixture::all().await {
        for (length, announced) in lengths.into_iter().zip([true, false].into_iter().cycle()) {
            let content = large(length);
            let url = fixture
                .store
                .put(picture(PictureKind::Jpeg, &content, announced))
                .await
                .unwrap();
            let stored = fixture.read(&url).await;
            assert!(stored.content == content, "{}: {length} bytes differ", fixture.name);
            assert_eq!(stored.content_type, "image/jpeg");
        }
    }
}

#[tokio::test]
async fn truncated_picture_leaves_nothing_behind() {
    for fixture in Fixture::all().await {
        for sent in [0, 3, 100_000, 6 * MIB] {
            for announced in [None, Some(12 * MIB as u64)] {
                let broken = stream::iter([Err(io::Error::other("WeChat hung up"))]);
                let picture = Picture {
                    kind: PictureKind::Jpeg,
                    length: announced,
                    body: pieces(&large(sent)).chain(broken).boxed(),
                };
                fixture.store.put(picture).await.unwrap_err();
            }
        }
        fixture.assert_empty().await;
    }
}

#[tokio::test]
async fn dropped_put_leaves_nothing_behind() {
    for fixture in Fixture::all().await {
        for sent in [0, 100_000, 6 * MIB] {
            // Says when the store has taken all there is and waits for more.
            let waits = Arc::new(AtomicBool::new(false));
            let waiting = Arc::clone(&waits);
            let no_more = stream::poll_fn(move |_| {
                waiting.store(true, Ordering::SeqCst);
                Poll::Pending
            });
            let picture = Picture {
                kind: PictureKind::Jpeg,
                length: Some(12 * MIB as u64),
                body: pieces(&large(sent)).chain(no_more).boxed(),
            };
            let taken = async {
                while !waits.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                done = fixture.store.put(picture) => panic!("{}: {done:?}", fixture.name),
                () = taken => {}
            }
        }
        fixture.assert_empty().await;
    }
}

#[tokio::test]
async fn put_dropped_late_leaves_the_whole_picture_or_nothing() {
    // Small enough for the polls to reach every step at which a put waits.
    let content = large(1000);
    for fixture in Fixture::all().await {
        if fixture.name == "http" {
            // An upload service that has the whole picture keeps it: there is no request to remove it.
            continue;
        }
        // One poll more each time, until a put ends before it is dropped.
        for polls in 1.. {
            let mut put = fixture.store.put(picture(PictureKind::Jpeg, &content, true));
            let mut left = polls;
            let ended = poll_fn(|cx| {
                left -= 1;
                match put.as_mut().poll(cx) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if left == 0 => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            let ended = ended.await;
            drop(put);
            if let Some(done) = ended {
                assert!(fixture.read(&done.unwrap()).await.content == content);
                break;
            }
            fixture.assert_empty().await;
        }
    }
}
