//! The span of a request: in the log, and in traces if they are on.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

use super::{Group, Kind};
use crate::http::RequestId;
use crate::telemetry::{request_answered, request_span};

#[derive(Clone, Copy)]
pub(super) struct SpanLayer(pub(super) Group);

impl<S> Layer<S> for SpanLayer {
    type Service = InSpan<S>;

    fn layer(&self, inner: S) -> InSpan<S> {
        InSpan { inner, group: self.0 }
    }
}

#[derive(Clone)]
pub(super) struct InSpan<S> {
    inner: S,
    group: Group,
}

impl<S> InSpan<S> {
    /// With traces on, one span serves them and the log.
    fn span(&self, request: &Request) -> Span {
        let (id, group) = (RequestId::in_extensions(request.extensions()), self.group);
        let for_traces = || {
            let label = group.label(request.extensions());
            request_span(request.method(), label, request.headers(), id.as_str())
        };
        match group.kind {
            Kind::Probe => tracing::info_span!("request", %id),
            Kind::Instant => for_traces().unwrap_or_else(|| tracing::debug_span!("request", %id)),
            Kind::Waits => for_traces().unwrap_or_else(|| tracing::info_span!("request", %id)),
        }
    }
}

impl<S: Service<Request, Response = Response, Error = Infallible>> Service<Request> for InSpan<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let span = self.span(&request);
        let inner = self.inner.call(request).instrument(span);
        ResponseFuture { inner }
    }
}

pin_project! {
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: Instrumented<F>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.project().inner;
        let Ok(response) = ready!(inner.as_mut().poll(cx));
        request_answered(inner.span(), response.status());
        Poll::Ready(Ok(response))
    }
}
