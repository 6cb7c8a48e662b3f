//! Bodies on their way: requests' that stall, answers' whose end is noted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::pace::{BodyReader, Pace};

/// A request's body that fails where the client leaves whoever reads it waiting.
pub(super) struct Punctual {
    body: Incoming,
    within: Duration,
    /// Set while it is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    _reader: Option<BodyReader>,
}

/// `body`, watched; most requests have none. Over HTTP/1 `pace` learns until when it is read.
pub(super) fn punctual(body: Incoming, within: Duration, pace: Option<&Pace>) -> Body {
    if body.is_end_stream() {
        Body::empty()
    } else {
        Body::new(Punctual {
            body,
            within,
            deadline: None,
            _reader: pace.map(Pace::reads_body),
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body stalled")]
    Stalled,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl HttpBody for Punctual {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.deadline = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let within = self.within;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(deadline.as_mut().poll(cx));
        // Whoever asks again waits again.
        deadline.as_mut().reset(Instant::now() + within);
        Poll::Ready(Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body; the pace learns when it has been handed over.
pub(super) struct Noted {
    body: Body,
    pace: Pace,
}

impl Noted {
    pub(super) fn new(body: Body, pace: Pace) -> Self {
        Self { body, pace }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.pace.is_answered();
    }
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
