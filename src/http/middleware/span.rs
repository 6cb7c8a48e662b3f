//! The span that everything happens in that is done for a request: in the log, and in traces if they are on.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use super::{Group, Kind};
use crate::http::RequestId;
use crate::trace::Traces;

#[derive(Clone)]
pub(super) struct SpanLayer {
    traces: Option<Traces>,
    group: Group,
}

impl SpanLayer {
    pub(super) fn new(traces: Option<Traces>, group: Group) -> Self {
        Self {
            traces: traces.filter(|_| group.kind != Kind::Probe),
            group,
        }
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = InSpan<S>;

    fn layer(&self, inner: S) -> InSpan<S> {
        InSpan {
            inner,
            layer: self.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct InSpan<S> {
    inner: S,
    layer: SpanLayer,
}

impl<S> Service<Request> for InSpan<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (id, group) = (RequestId::in_extensions(request.extensions()), self.layer.group);
        let span = match group.kind {
            Kind::Instant => tracing::debug_span!("request", %id),
            Kind::Waits | Kind::Probe => tracing::info_span!("request", %id),
        };
        let Some(traces) = &self.layer.traces else {
            let inner = self.inner.call(request).instrument(span);
            return Answer::Logged { inner };
        };
        let label = group.label(request.extensions());
        let server_span = traces.request(label, request.method(), request.headers(), id.as_str());
        let inner = self.inner.call(request).instrument(span);
        let inner = async move {
            let Ok(response) = server_span.around(inner).await;
            server_span.answered(response.status());
            Ok(response)
        };
        Answer::Traced { inner: inner.boxed() }
    }
}

pin_project! {
    #[project = Projected]
    pub(super) enum Answer<F> {
        Logged { #[pin] inner: Instrumented<F> },
        Traced { inner: BoxFuture<'static, Result<Response, Infallible>> },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Logged { inner } => inner.poll(cx),
            Projected::Traced { inner } => inner.poll_unpin(cx),
        }
    }
}
