//! Gives every failure its body, in the listener's shape, and every answer its request id and the listener's headers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use crate::http::{ApiError, RequestId, X_REQUEST_ID};

#[derive(Clone, Copy)]
pub(super) struct FailureLayer {
    failure: fn(&ApiError, RequestId) -> Response,
    headers: fn(&mut HeaderMap),
}

impl FailureLayer {
    pub(super) fn new(failure: fn(&ApiError, RequestId) -> Response, headers: fn(&mut HeaderMap)) -> Self {
        Self { failure, headers }
    }

    /// The answer to the request `id`. The failure stays in its extensions, for the access log.
    fn finish<B>(self, id: RequestId, response: http::Response<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut finished = match response.extensions().get::<ApiError>() {
            None => response.map(Body::new),
            Some(error) => {
                let mut shaped = (self.failure)(error, id);
                shaped.extensions_mut().insert(error.clone());
                // Keep what inner layers have added, such as `Allow`.
                for (name, value) in response.headers() {
                    if *name != header::CONTENT_LENGTH && !shaped.headers().contains_key(name) {
                        shaped.headers_mut().insert(name, HeaderValue::clone(value));
                    }
                }
                shaped
            }
        };
        finished.headers_mut().insert(X_REQUEST_ID, id.header_value());
        (self.headers)(finished.headers_mut());
        finished
    }
}

impl<S> Layer<S> for FailureLayer {
    type Service = FailureService<S>;

    fn layer(&self, inner: S) -> FailureService<S> {
        FailureService { inner, layer: *self }
    }
}

#[derive(Clone)]
pub(super) struct FailureService<S> {
    inner: S,
    layer: FailureLayer,
}

impl<S, B> Service<Request> for FailureService<S>
where
    S: Service<Request, Response = http::Response<B>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ResponseFuture {
            id: RequestId::in_extensions(request.extensions()),
            layer: self.layer,
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        layer: FailureLayer,
        id: RequestId,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<http::Response<B>, E>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        Poll::Ready(answer.map(|response| this.layer.finish(*this.id, response)))
    }
}
