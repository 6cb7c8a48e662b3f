//! Gives every request its id, and every answer the id of its request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use http::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::http::{RequestId, X_REQUEST_ID};

#[derive(Clone, Copy)]
pub(super) struct RequestIdLayer;

impl<S> Layer<S> for RequestIdLayer {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> WithRequestId<S> {
        WithRequestId { inner }
    }
}

#[derive(Clone)]
pub(super) struct WithRequestId<S> {
    inner: S,
}

impl<S, B> Service<Request> for WithRequestId<S>
where
    S: Service<Request, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id);
        Answer {
            inner: self.inner.call(request),
            id,
        }
    }
}

pin_project! {
    pub(super) struct Answer<F> {
        #[pin]
        inner: F,
        id: RequestId,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.inner.poll(cx));
        if let Ok(response) = &mut answer {
            response.headers_mut().insert(X_REQUEST_ID, this.id.header_value());
        }
        Poll::Ready(answer)
    }
}
