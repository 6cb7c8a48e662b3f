//! The stream between WeChat and the store: it checks what passes, and remembers what went wrong.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};

use super::error::{Rejection, UploadError};
use crate::credentials::TokenCallError;
use crate::image_store::Picture;
use crate::wechat::{BodyProblem, CallError, MediaDownload};

/// A picture's bytes, as long as nothing is wrong with them.
pub(super) struct Checked {
    /// What of the source was read before, and has not been taken yet.
    head: Option<Bytes>,
    source: BoxStream<'static, Result<Bytes, CallError>>,
    /// What of the source's last piece has not been handed over yet.
    rest: Bytes,
    announced: Option<u64>,
    limit: u64,
    progress: Arc<Progress>,
}

impl Checked {
    /// Watches over `download`, which may be `limit` bytes long, and the place to see how it goes.
    pub(super) fn new(download: MediaDownload, limit: u64) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let checked = Self {
            head: Some(download.head),
            source: download.rest,
            rest: Bytes::new(),
            announced: download.content_length,
            limit,
            progress: Arc::clone(&progress),
        };
        (checked, progress)
    }

    /// What is wrong with a picture of which `seen` bytes have come so far.
    fn objection(&self, seen: u64) -> Option<UploadError> {
        if seen > self.limit {
            Some(UploadError::Rejected(Rejection::TooLarge { limit: self.limit }))
        } else if self.announced.is_some_and(|announced| seen > announced) {
            Some(body(BodyProblem::Unexpected))
        } else {
            None
        }
    }

    /// Takes what the source answered; the stage that this leads to.
    fn take(&mut self, seen: u64, answer: Option<Result<Bytes, CallError>>) -> Stage {
        match answer {
            Some(Ok(piece)) => {
                let seen = seen + piece.len() as u64;
                if let Some(error) = self.objection(seen) {
                    // Nothing of the piece may pass: a store that was told the length would take a
                    // picture for whole that is not.
                    return Stage::Failed(error);
                }
                self.rest = piece;
                // A store that was told the length need not ask whether this was all.
                if self.announced == Some(seen) {
                    Stage::Complete(seen)
                } else {
                    Stage::AtStore(seen)
                }
            }
            Some(Err(error)) => Stage::Failed(UploadError::WeChat(TokenCallError::Call(error))),
            None if self.announced.is_some_and(|announced| seen < announced) => {
                Stage::Failed(body(BodyProblem::CutOff))
            }
            None => Stage::Complete(seen),
        }
    }
}

fn body(problem: BodyProblem) -> UploadError {
    UploadError::WeChat(TokenCallError::Call(CallError::Body(problem)))
}

impl Stream for Checked {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.rest.is_empty() {
            let seen = match &*this.progress.stage() {
                Stage::AtSource(seen) | Stage::AtStore(seen) => *seen,
                Stage::Complete(_) => return Poll::Ready(None),
                Stage::Failed(error) => return Poll::Ready(Some(Err(io::Error::other(error.to_string())))),
            };
            *this.progress.stage() = Stage::AtSource(seen);
            let answer = match this.head.take() {
                Some(head) => Some(Ok(head)),
                None => ready!(this.source.poll_next_unpin(cx)),
            };
            let stage = this.take(seen, answer);
            *this.progress.stage() = stage;
        }
        let length = this.rest.len().min(Picture::PIECE);
        Poll::Ready(Some(Ok(this.rest.split_to(length))))
    }
}

/// How far a picture has come, for the one who waits for the store.
#[derive(Default)]
pub(super) struct Progress(Mutex<Stage>);

/// Whose turn it is, with the bytes that WeChat has sent so far.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// WeChat is to send more.
    AtSource(u64),
    /// The store is to take what WeChat sent.
    AtStore(u64),
    /// All of it has been handed to the store.
    Complete(u64),
    /// It came to a bad end before it reached the store: the failure is not the store's.
    Failed(UploadError),
}

impl Default for Stage {
    fn default() -> Self {
        // The head has been read; it waits for the store to ask for it.
        Stage::AtStore(0)
    }
}

impl Progress {
    /// The stage it is at.
    pub(super) fn now(&self) -> Stage {
        self.stage().clone()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // A stage is replaced whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn nothing_of_a_piece_that_is_too_much_passes() {
        let rest = [100, 100, 100].map(|length| Ok(Bytes::from(vec![0; length])));
        for announced in [None, Some(299)] {
            let download = MediaDownload {
                content_length: announced,
                head: Bytes::from_static(&[0; 50]),
                rest: stream::iter(rest.clone()).boxed(),
            };
            let (checked, progress) = Checked::new(download, 300);
            let lengths: Vec<_> = checked
                .take(5)
                .map(|piece| piece.map(|bytes| bytes.len()).ok())
                .collect()
                .await;
            assert_eq!(lengths, [Some(50), Some(100), Some(100), None, None]);
            assert!(matches!(progress.now(), Stage::Failed(_)));
        }
    }
}
