//! The outermost layer of the public listener: it gives each request its id, its time limit and its
//! line in the log, catches panics, and turns every failure into the envelope. It stands around the
//! router, so no path, known or not, gets past it.

use std::any::Any;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use ipnet::IpNet;
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt};
use tracing::{Instrument, Level};

use super::client_address::client_address;
use super::code::Code;
use super::envelope::{ApiError, JSON, X_REQUEST_ID};
use super::metrics::HttpMetrics;
use super::request_id::RequestId;
use super::route::Route;
use super::{Api, jssdk};
use crate::telemetry::{log_span, millis, request_answered, request_span};

/// The client's address, behind trusted proxies.
#[derive(Debug, Clone, Copy)]
pub struct Client(pub IpAddr);

/// The edge has put it into the request's extensions.
impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get()
            .copied()
            .unwrap_or(Client(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// The public listener's service, for one connection. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    router: Router,
    shared: Arc<Shared>,
    /// Where the connection comes from.
    peer: IpAddr,
}

struct Shared {
    request_timeout: Duration,
    trusted_proxies: Vec<IpNet>,
    metrics: HttpMetrics,
    signing: Option<Api>,
}

/// A request that takes longer is worth a line in the log even if it succeeds.
pub const SLOW: Duration = Duration::from_secs(1);

impl Edge {
    /// The edge around `router`, for a connection from nowhere; see [`Edge::for_peer`]. With `signing`, it
    /// signs pages itself where it can.
    #[must_use]
    pub fn new(
        router: Router,
        request_timeout: Duration,
        trusted_proxies: Vec<IpNet>,
        metrics: HttpMetrics,
        signing: Option<Api>,
    ) -> Self {
        Self {
            router,
            shared: Arc::new(Shared {
                request_timeout,
                trusted_proxies,
                metrics,
                signing,
            }),
            peer: Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// The same for a connection that comes from `peer`.
    #[must_use]
    pub fn for_peer(&self, peer: IpAddr) -> Self {
        Self { peer, ..self.clone() }
    }

    /// The client's address.
    fn client(&self, request: &Request<Body>) -> IpAddr {
        client_address(self.peer, request.headers(), &self.shared.trusted_proxies)
    }

    /// The answer to a page that can be signed on the spot. That is nearly every request there is, and
    /// it needs nothing of what [`Edge::handle`] sets up: no route to be found, no time limit, no task
    /// to be put aside. Everything else is left to that, also what went wrong here.
    fn sign_at_once(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let shared = &*self.shared;
        let api = shared.signing.as_ref()?;
        let is_ours = request.method() == Method::GET && Route::of(request.uri().path()) == Route::Sign;
        // A line in the log of every request is worth more than speed to who asks for it.
        if !is_ours || tracing::enabled!(Level::DEBUG) {
            return None;
        }
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        let client = self.client(request);
        let query = request.uri().query()?;
        let signed = catch_unwind(AssertUnwindSafe(|| jssdk::sign_at_once(api, query, client, id)));
        let mut response = signed.ok().flatten()?;
        finish(&mut response, id);
        shared.metrics.observe_signature(started.elapsed());
        Some(response)
    }

    async fn handle(self, mut request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        let client = self.client(&request);
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(Client(client));
        let (method, route) = (request.method().clone(), Route::of(request.uri().path()));
        let span = if route.is_probe() {
            log_span(id.as_str())
        } else {
            request_span(&method, route.label(), request.headers(), id.as_str())
        };
        let answer = self.answer(request).instrument(span.clone()).await;
        let (mut response, failure) = match answer {
            Ok(mut response) => match response.extensions_mut().remove::<ApiError>() {
                None => (response, None),
                Some(error) => (with_headers_of(error.envelope(id), response.headers()), Some(error)),
            },
            Err(error) => (error.envelope(id), Some(error)),
        };
        finish(&mut response, id);

        let took = started.elapsed();
        self.shared.metrics.observe(route, &method, response.status(), took);
        request_answered(&span, response.status());
        span.in_scope(|| log(route, &method, client, &response, failure.as_ref(), took));
        response
    }

    /// The router's answer, within the time limit and whatever happens inside.
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, ApiError> {
        let routed = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind();
        match timeout(self.shared.request_timeout, routed).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => Err(ApiError::plain(Code::Internal).with_detail(panic_text(&*panic))),
            Err(_) => Err(ApiError::plain(Code::RequestTimeout)),
        }
    }
}

impl Service<Request<Body>> for Edge {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response<Body>, Infallible>>, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.sign_at_once(&request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(self.clone().handle(request).map(Ok).boxed()),
        }
    }
}

/// What inner layers have added to a failure (say, `Allow`) goes with its envelope.
fn with_headers_of(mut envelope: Response<Body>, inner: &HeaderMap) -> Response<Body> {
    for (name, value) in inner {
        if *name != header::CONTENT_LENGTH && !envelope.headers().contains_key(name) {
            envelope.headers_mut().insert(name, HeaderValue::clone(value));
        }
    }
    envelope
}

/// What every answer bears: the request's id, and what a browser must not do with it. Pages, and
/// pictures, say for themselves what they may load; JSON loads nothing; all else is nothing to look at.
fn finish(response: &mut Response<Body>, id: RequestId) {
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.header_value());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == JSON) {
        return;
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
}

fn log(
    route: Route,
    method: &Method,
    client: IpAddr,
    response: &Response<Body>,
    failure: Option<&ApiError>,
    took: Duration,
) {
    let (route, status, ms) = (route.label(), response.status().as_u16(), millis(took));
    match failure {
        Some(error) => {
            let (code, name, message) = (error.code.number(), error.code.name(), error.message.as_str());
            let detail = error.detail.as_deref();
            if error.code == Code::Internal {
                tracing::error!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
            } else {
                tracing::info!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
            }
        }
        None if took >= SLOW => tracing::info!(route, %method, status, %client, ms, "slow"),
        None => tracing::debug!(route, %method, status, %client, ms, "done"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use prometheus::Registry;

    use super::*;

    async fn ask(router: Router) -> (u16, serde_json::Value) {
        let metrics = HttpMetrics::register(&Registry::new()).unwrap();
        let edge = Edge::new(router, Duration::from_secs(1), Vec::new(), metrics, None);
        let response = edge
            .oneshot(Request::get("/").body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let id = response.headers()[X_REQUEST_ID].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["traceId"], id);
        (status, body)
    }

    #[tokio::test]
    async fn a_panic_is_answered_in_the_envelope_without_its_words() {
        let boom = || async { assert!(Vec::<u8>::new().len() > 1, "inner words") };
        let (status, body) = ask(Router::new().route("/", get(boom))).await;
        assert_eq!(
            (status, &body["code"], &body["error"]),
            (500, &5000.into(), &"INTERNAL_ERROR".into())
        );
        assert!(!body.to_string().contains("inner words"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_cut_off_with_4003() {
        let (status, body) = ask(Router::new().route("/", get(std::future::pending::<()>))).await;
        assert_eq!((status, &body["code"]), (504, &4003.into()));
    }
}
