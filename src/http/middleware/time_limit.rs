//! Ends requests that take too long with 4003.
//!
//! tower-http's layer polls its timer before the handler, which puts a timer into tokio's wheel for every request.
//! `tokio::time::timeout` polls the handler first, so that only a request that waits costs a timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tokio::time::{Timeout, timeout};
use tower::{Layer, Service};

use crate::http::{ApiError, Code};

#[derive(Clone, Copy)]
pub(super) struct TimeLimitLayer(pub(super) Option<Duration>);

impl<S> Layer<S> for TimeLimitLayer {
    type Service = TimeLimit<S>;

    fn layer(&self, inner: S) -> TimeLimit<S> {
        TimeLimit { inner, limit: self.0 }
    }
}

#[derive(Clone)]
pub(super) struct TimeLimit<S> {
    inner: S,
    limit: Option<Duration>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for TimeLimit<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let inner = self.inner.call(request);
        match self.limit {
            None => ResponseFuture::Unlimited { inner },
            Some(limit) => ResponseFuture::Limited {
                inner: timeout(limit, inner),
            },
        }
    }
}

pin_project! {
    #[project = Projected]
    pub(super) enum ResponseFuture<F> {
        Unlimited { #[pin] inner: F },
        Limited { #[pin] inner: Timeout<F> },
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Unlimited { inner } => inner.poll(cx),
            Projected::Limited { inner } => {
                let answer = ready!(inner.poll(cx));
                Poll::Ready(answer.unwrap_or_else(|_| Ok(ApiError::plain(Code::RequestTimeout).into_response())))
            }
        }
    }
}
