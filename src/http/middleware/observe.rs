//! Counts each request and writes its line in the access log, once its answer is ready.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use http::Method;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Group;
use super::access_log::{Line, Listener};
use crate::http::metrics::RouteMetrics;
use crate::http::{ClientAddress, HttpMetrics, RequestId};

#[derive(Clone)]
pub(super) struct ObserveLayer {
    listener: Listener,
    metrics: HttpMetrics,
    group: Group,
}

impl ObserveLayer {
    pub(super) fn new(listener: Listener, metrics: HttpMetrics, group: Group) -> Self {
        Self {
            listener,
            metrics,
            group,
        }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        let route = Arc::new(Route {
            layer: self.clone(),
            metrics: OnceLock::new(),
        });
        Observe { inner, route }
    }
}

/// One route.
struct Route {
    layer: ObserveLayer,
    /// Set by the first request, which has the path that the route was registered under.
    metrics: OnceLock<RouteMetrics>,
}

impl Route {
    fn metrics(&self, request: &Request) -> &RouteMetrics {
        let layer = &self.layer;
        self.metrics
            .get_or_init(|| layer.metrics.route(layer.group.label(request.extensions())))
    }
}

#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    route: Arc<Route>,
}

impl<S: Service<Request, Response = Response, Error = Infallible>> Service<Request> for Observe<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.route.metrics(&request);
        ResponseFuture {
            route: Arc::clone(&self.route),
            started: Instant::now(),
            method: request.method().clone(),
            id: RequestId::in_extensions(request.extensions()),
            client: request.extensions().get().copied().unwrap_or_default(),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        route: Arc<Route>,
        started: Instant,
        method: Method,
        id: RequestId,
        client: ClientAddress,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.inner.poll(cx));
        let took = this.started.elapsed();
        if let Some(metrics) = this.route.metrics.get() {
            metrics.observe(this.method, response.status(), took);
            let line = Line {
                listener: this.route.layer.listener,
                id: *this.id,
                route: metrics.label(),
                method: this.method,
                client: this.client.0,
                took,
            };
            line.write(&response);
        }
        Poll::Ready(Ok(response))
    }
}
