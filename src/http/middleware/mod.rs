//! The stack of layers around every route, the same for both listeners.

mod access_log;
mod failure;
mod identity;
mod observe;
mod span;
mod time_limit;
mod well_formed;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use tower::util::{MapRequestLayer, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

pub use access_log::{ClientName, FailureReason, Listener};

use super::{ApiError, Code, HttpMetrics, RequestId};

/// What the stack is made from. The listeners have only `metrics` in common.
#[derive(Clone)]
pub struct Stack {
    /// Which listener, for the access log.
    pub listener: Listener,
    /// Makes the body of a failure.
    pub failure: fn(&ApiError, RequestId) -> Response,
    /// Adds the headers that every answer has.
    pub headers: fn(&mut HeaderMap),
    /// Which origins' pages may call, if any.
    pub cors: Option<CorsLayer>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
}

/// How a group of routes is treated.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The label in metrics and logs; without one, it is the path as it was registered.
    pub label: Option<&'static str>,
    /// How their requests are logged and traced.
    pub kind: Kind,
    /// The longest that a request may take.
    pub time_limit: Option<Duration>,
}

/// How requests are logged and traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Usually answered without a wait and without a log line: the span is for the level debug.
    Instant,
    /// Waits, for WeChat or a file, and may log.
    Waits,
    /// Called by monitoring all the time: not traced.
    Probe,
}

impl Group {
    /// The label of a request with these extensions. It is never the path itself, which may be anything.
    fn label<'a>(&self, extensions: &'a Extensions) -> &'a str {
        let matched = || extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        self.label.or_else(matched).unwrap_or("pass-through")
    }
}

impl Stack {
    /// `routes` with all layers around them. Each route gets layers of its own, so what depends on the route is
    /// looked up once.
    ///
    /// From the outside in: the id and the client's address come first, since all others use them. Metrics and
    /// access log see the final answer and measure the whole time. The span holds everything that a handler does.
    /// Failures get their body outside of what causes them: a panic, a malformed request, the time limit, a handler.
    /// CORS is between the two, so that a page can read failures too.
    pub fn around<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>, group: Group) -> Router<S> {
        routes.layer((
            MapRequestLayer::new(identity::identify(Arc::clone(&self.trusted_proxies))),
            observe::ObserveLayer::new(self.listener, self.metrics.clone(), group),
            span::SpanLayer(group),
            failure::FailureLayer::new(self.failure, self.headers),
            option_layer(self.cors.clone()),
            CatchPanicLayer::custom(internal_error as fn(Box<dyn Any + Send>) -> Response),
            ValidateRequestHeaderLayer::custom(well_formed::check as fn(&mut Request) -> Result<(), Response>),
            time_limit::TimeLimitLayer(group.time_limit),
        ))
    }
}

/// The failure for a panic, whose message goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn internal_error(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::plain(Code::Internal)
        .with_detail(text.unwrap_or("a panic"))
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use http::Request;
    use prometheus::Registry;
    use tower::ServiceExt;

    use super::*;
    use crate::http::X_REQUEST_ID;

    fn stack(registry: &Registry) -> Stack {
        Stack {
            listener: Listener::Public,
            failure: ApiError::envelope,
            headers: |_| {},
            cors: None,
            trusted_proxies: Arc::default(),
            metrics: HttpMetrics::register(registry).unwrap(),
        }
    }

    async fn ask(routes: Router, label: Option<&'static str>) -> (u16, serde_json::Value, String) {
        let registry = Registry::new();
        let group = Group {
            label,
            kind: Kind::Waits,
            time_limit: Some(Duration::from_secs(1)),
        };
        let routes = stack(&registry).around(routes, group);
        let request = Request::get("/a/1").header("host", "a").body(Body::empty());
        let request = request.unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let id = response.headers()[X_REQUEST_ID].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["traceId"], id);
        let counted = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
        (status, body, counted.unwrap())
    }

    #[tokio::test]
    async fn panic_is_answered_in_the_envelope_without_its_message() {
        let boom = || async { assert!(Vec::<u8>::new().len() > 1, "inner words") };
        let (status, body, _) = ask(Router::new().route("/a/{id}", get(boom)), None).await;
        assert_eq!(
            (status, &body["code"], &body["error"]),
            (500, &5000.into(), &"INTERNAL_ERROR".into())
        );
        assert!(!body.to_string().contains("inner words"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn handler_that_hangs_is_cut_off_with_4003() {
        let routes = Router::new().route("/a/{id}", get(std::future::pending::<()>));
        let (status, body, _) = ask(routes, None).await;
        assert_eq!((status, &body["code"]), (504, &4003.into()));
    }

    #[tokio::test]
    async fn metric_label_is_the_groups_or_the_path_as_registered() {
        let failing = || async { ApiError::plain(Code::NotFound) };
        for (label, expected) in [(None, "/a/{id}"), (Some("/all"), "/all")] {
            let (_, _, counted) = ask(Router::new().route("/a/{id}", get(failing)), label).await;
            let series = format!("wxgate_http_requests_total{{method=\"GET\",route=\"{expected}\",status=\"404\"}} 1");
            assert!(counted.contains(&series), "{counted}");
        }
    }
}
