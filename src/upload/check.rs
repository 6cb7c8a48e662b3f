//! The stream between WeChat and the store: checks what passes through against the announced length and the limit, and
//! records failures.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use parking_lot::Mutex;

use super::outcome::{Rejection, UploadError};
use crate::image_store::Picture;
use crate::wechat::{BodyProblem, CallError, MediaDownload};

/// A picture's bytes, until a check fails.
pub(super) struct CheckedBody {
    source: BoxStream<'static, Result<Bytes, CallError>>,
    /// What is left of a chunk longer than [`Picture::MAX_CHUNK`].
    rest: Bytes,
    announced: Option<u64>,
    limit: u64,
    progress: Arc<Mutex<Stage>>,
}

impl CheckedBody {
    /// Checks `download` against `limit` in bytes; the second value shows its progress.
    pub(super) fn new(download: MediaDownload, limit: u64) -> (Self, Arc<Mutex<Stage>>) {
        // The head has been read; the store has not polled for it yet.
        let progress = Arc::new(Mutex::new(Stage::WaitingForStore(0)));
        let body = Self {
            source: stream::iter([Ok(download.head)]).chain(download.rest).boxed(),
            rest: Bytes::new(),
            announced: download.content_length,
            limit,
            progress: Arc::clone(&progress),
        };
        (body, progress)
    }

    /// Takes the source's next item; returns the stage that follows.
    fn take(&mut self, seen: u64, next: Option<Result<Bytes, CallError>>) -> Stage {
        match next {
            Some(Ok(chunk)) => {
                let seen = seen + chunk.len() as u64;
                // Of a chunk that exceeds the limit or the announced length, nothing may pass: a store that knows that
                // length would consider the picture complete.
                if seen > self.limit {
                    let (limit, bytes) = (self.limit, self.announced);
                    return Stage::Failed(UploadError::Rejected(Rejection::TooLarge { limit, bytes }));
                }
                if self.announced.is_some_and(|announced| seen > announced) {
                    return Stage::Failed(CallError::Body(BodyProblem::Unexpected).into());
                }
                self.rest = chunk;
                Stage::WaitingForStore(seen)
            }
            Some(Err(error)) => Stage::Failed(error.into()),
            None if self.announced.is_some_and(|announced| seen < announced) => {
                Stage::Failed(CallError::Body(BodyProblem::CutOff).into())
            }
            None => Stage::Complete(seen),
        }
    }
}

impl Stream for CheckedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.rest.is_empty() {
            let seen = match &*this.progress.lock() {
                Stage::WaitingForWeChat(seen) | Stage::WaitingForStore(seen) => *seen,
                Stage::Complete(_) => return Poll::Ready(None),
                Stage::Failed(error) => return Poll::Ready(Some(Err(io::Error::other(error.to_string())))),
            };
            *this.progress.lock() = Stage::WaitingForWeChat(seen);
            let next = ready!(this.source.poll_next_unpin(cx));
            let stage = this.take(seen, next);
            *this.progress.lock() = stage;
        }
        let length = this.rest.len().min(Picture::MAX_CHUNK);
        let chunk = this.rest.split_to(length);
        let mut stage = this.progress.lock();
        // A store that knows the length does not poll again after the last byte.
        if let Stage::WaitingForStore(seen) = *stage
            && this.rest.is_empty()
            && this.announced == Some(seen)
        {
            *stage = Stage::Complete(seen);
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// The progress of a picture, for the task that waits for the store: which side is being waited for, with the number of
/// bytes that WeChat has sent so far.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// WeChat must send more.
    WaitingForWeChat(u64),
    /// The store must take what WeChat sent.
    WaitingForStore(u64),
    /// All of it has been handed to the store.
    Complete(u64),
    /// It failed before it reached the store: the failure is not the store's.
    Failed(UploadError),
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::Instant;

    use super::*;

    /// A download of 50 bytes and then `rest`.
    fn download(content_length: Option<u64>, rest: Vec<Bytes>) -> MediaDownload {
        MediaDownload {
            started: Instant::now(),
            content_length,
            content_type: None,
            head: Bytes::from_static(&[0; 50]),
            rest: stream::iter(rest.into_iter().map(Ok)).boxed(),
            rejection: None,
        }
    }

    #[tokio::test]
    async fn chunk_beyond_the_length_is_not_passed_on() {
        let rest = vec![Bytes::from_static(&[0; 100]); 3];
        for announced in [None, Some(299)] {
            let (body, progress) = CheckedBody::new(download(announced, rest.clone()), 300);
            let lengths: Vec<_> = body
                .take(5)
                .map(|chunk| chunk.map(|bytes| bytes.len()).ok())
                .collect()
                .await;
            assert_eq!(lengths, [Some(50), Some(100), Some(100), None, None]);
            assert!(matches!(*progress.lock(), Stage::Failed(_)));
        }
    }

    #[tokio::test]
    async fn picture_is_complete_once_the_store_has_all_of_the_last_chunk() {
        let long = Bytes::from(vec![0; 2 * Picture::MAX_CHUNK + 1]);
        let length = 50 + long.len() as u64;
        for announced in [None, Some(length)] {
            let (mut body, progress) = CheckedBody::new(download(announced, vec![long.clone()]), length);
            let mut passed = 0;
            while passed < length {
                assert!(
                    matches!(*progress.lock(), Stage::WaitingForStore(_)),
                    "{passed} of {length}"
                );
                passed += body.next().await.unwrap().unwrap().len() as u64;
            }
            if announced.is_none() {
                assert!(body.next().await.is_none());
            }
            assert!(matches!(*progress.lock(), Stage::Complete(all) if all == length));
        }
    }
}
