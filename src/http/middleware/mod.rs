//! The stack of layers around every route, the same for both listeners.

mod observe;

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use axum::routing::future::RouteFuture;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::{HeaderMap, Method, Version, header};
use ipnet::IpNet;
use tokio::time::timeout;
use tower::Layer;
use tower::layer::layer_fn;
use tower::util::{MapFutureLayer, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

pub use observe::{ClientName, FailureReason};

use super::{ApiError, Code, HttpMetrics, RequestId};

/// Which listener a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Public,
    Internal,
}

/// What the stack is built from. The listeners share only `metrics`.
#[derive(Clone)]
pub struct Stack {
    pub listener: Listener,
    /// Builds the response of a failure.
    pub failure: fn(&ApiError, &RequestId) -> Response,
    /// Adds the headers that every answer carries.
    pub headers: fn(&mut HeaderMap),
    /// The CORS layer, if pages of other origins may call.
    pub cors: Option<CorsLayer>,
    pub trusted_proxies: Arc<[IpNet]>,
    pub metrics: HttpMetrics,
}

/// How a group of routes is treated.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The label in metrics and logs; by default, the route's path as registered.
    pub label: Option<&'static str>,
    pub kind: RouteKind,
    /// The maximum duration of a request.
    pub time_limit: Option<Duration>,
}

/// How the requests of a route are logged and traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Usually answered at once and without a log line: unless traces are on, the span exists only at level debug.
    Instant,
    /// Waits for WeChat or a file, and may log.
    Waits,
    /// Called all the time by monitoring or by the console's own script: not traced.
    Probe,
}

impl Group {
    /// A group without a time limit, whose routes are labelled by their paths.
    pub fn new(kind: RouteKind) -> Self {
        Self {
            label: None,
            kind,
            time_limit: None,
        }
    }

    pub fn labelled(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    pub fn limited(mut self, time_limit: Duration) -> Self {
        self.time_limit = Some(time_limit);
        self
    }
}

impl Stack {
    /// `routes` with all layers around them. Each route gets its own layers, so whatever depends on the route is looked
    /// up once.
    ///
    /// From the outside in: metrics and access log see the final answer and measure the whole time; the span covers
    /// everything that a handler does. Failures get their body outside of what causes them: a panic, a malformed request,
    /// the time limit, a handler. CORS is between the two, so that a page can read failures too.
    pub fn around<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>, group: Group) -> Router<S> {
        let stack = self.clone();
        routes.layer(layer_fn(move |route: Route| {
            let inside = (
                option_layer(stack.cors.clone()),
                CatchPanicLayer::custom(internal_error as fn(Box<dyn Any + Send>) -> Response),
                ValidateRequestHeaderLayer::custom(well_formed as fn(&mut Request) -> Result<(), Response>),
                MapFutureLayer::new(move |answer: RouteFuture<Infallible>| in_time(answer, group.time_limit)),
            );
            observe::observed(inside.layer(route), stack.clone(), group)
        }))
    }
}

/// The failure for a panic; the panic message goes only to the log.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn internal_error(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::plain(Code::Internal)
        .with_detail(text.unwrap_or("a panic"))
        .into_response()
}

/// Refuses requests that HTTP's parser accepts but no route should see.
#[expect(clippy::result_large_err, reason = "the signature is tower-http's")]
fn well_formed(request: &mut Request) -> Result<(), Response> {
    // TRACE would show a page headers that it may not read.
    if request.method() == Method::TRACE {
        return Err(ApiError::plain(Code::MethodNotAllowed).into_response());
    }
    // RFC 9112, section 3.2. If there are two, a proxy in front may have used the other one.
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let missing = hosts == 0 && request.version() == Version::HTTP_11;
    if missing || hosts > 1 {
        let message = "an HTTP/1.1 request has exactly one Host header";
        return Err(ApiError::new(Code::ParamInvalid, message).into_response());
    }
    Ok(())
}

/// `answer`, or a failure if it takes longer than `limit`. tower-http's layer polls its timer before the handler, which
/// registers a timer with tokio for every request; here only a request that waits needs a timer.
fn in_time<F>(answer: F, limit: Option<Duration>) -> impl Future<Output = F::Output>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let Some(limit) = limit else {
        return Either::Left(answer);
    };
    let too_late = |_| Ok(ApiError::plain(Code::RequestTimeout).into_response());
    Either::Right(timeout(limit, answer).map(move |ended| ended.unwrap_or_else(too_late)))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use http::Request;
    use prometheus::Registry;
    use tower::ServiceExt;

    use super::*;
    use crate::http::X_REQUEST_ID;

    #[tokio::test]
    async fn panic_is_answered_in_the_envelope_without_its_message() {
        let stack = Stack {
            listener: Listener::Public,
            failure: ApiError::envelope,
            headers: |_| {},
            cors: None,
            trusted_proxies: Arc::default(),
            metrics: HttpMetrics::register(&Registry::new()).unwrap(),
        };
        let boom = || async { assert!(Vec::<u8>::new().len() > 1, "inner words") };
        let routes = stack.around(Router::new().route("/", get(boom)), Group::new(RouteKind::Waits));
        let request = Request::get("/").header("host", "a").body(Body::empty());
        let response = routes.oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let id = response.headers()[X_REQUEST_ID].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, &body["code"], &body["error"], &body["traceId"]),
            (500, &5000.into(), &"INTERNAL_ERROR".into(), &id.into())
        );
        assert!(!body.to_string().contains("inner words"), "{body}");
    }
}
