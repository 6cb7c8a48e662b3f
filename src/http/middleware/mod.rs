//! The stack of layers around every route, the same for both listeners.

mod access_log;
mod client_address;
mod failure;
mod observe;
mod request_id;
mod span;
mod time_limit;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::MatchedPath;
use axum::http::{Extensions, HeaderMap};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use tower_http::catch_panic::CatchPanicLayer;

pub use access_log::{AskedBy, Because, Listener};

use super::{ApiError, Code, HttpMetrics, RequestId};
use crate::trace::Traces;

/// What the stack is made from. All that differs between the listeners is in the first three fields.
#[derive(Clone)]
pub struct Stack {
    /// Whose requests these are, for the access log.
    pub listener: Listener,
    /// Makes the body of a failure.
    pub failure: fn(&ApiError, RequestId) -> Response,
    /// Adds the headers that every answer has.
    pub headers: fn(&mut HeaderMap),
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
    /// Where requests are traced.
    pub traces: Option<Traces>,
}

/// How routes that belong together are treated.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The label in metrics and logs; without one, it is the path as it was registered.
    pub label: Option<&'static str>,
    /// What happens within their requests.
    pub kind: Kind,
    /// The longest that a request may take.
    pub time_limit: Option<Duration>,
}

/// What happens within a request, as far as logs and traces are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Usually answered without a wait and without a log line: the span is for the level debug.
    Instant,
    /// Waits, for WeChat or a file, and may log.
    Waits,
    /// Called by monitoring, all day long: not traced.
    Probe,
}

impl Group {
    /// The label of a request with these extensions. A path that is not registered may hold anything, so it is
    /// never a label.
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
    /// access log see the answer as it goes out, and their time is the whole time. The span holds everything that
    /// a handler does. Failures get their body outside of what makes them: a panic, the time limit, a handler.
    pub fn around<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>, group: Group) -> Router<S> {
        routes.layer((
            request_id::RequestIdLayer,
            client_address::ClientAddressLayer::new(&self.trusted_proxies),
            observe::ObserveLayer::new(self.listener, self.metrics.clone(), group),
            span::SpanLayer::new(self.traces.clone(), group),
            failure::FailureLayer::new(self.failure, self.headers),
            CatchPanicLayer::custom(internal_error as fn(Box<dyn Any + Send>) -> Response),
            time_limit::TimeLimitLayer(group.time_limit),
        ))
    }
}

/// The failure that a panic ends in; its words are for the log.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn internal_error(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::plain(Code::Internal)
        .with_detail(text.unwrap_or("a panic"))
        .into_response()
}

#[cfg(test)]
mod tests;
