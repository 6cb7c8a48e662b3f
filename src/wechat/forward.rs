//! Calls of other systems, passed through unchanged.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, Response};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::CallError;
use super::client::{WeChatClient, unsendable};
use super::metrics::Api;
use crate::http_client::{self, SendError};
use crate::telemetry::{call_span, traced};

/// A call, but for its body.
#[derive(Clone)]
pub struct CallHead {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: ApiPath,
    /// Its query, escaped as it came; it may hold a token.
    pub query: Option<String>,
    /// Its headers, all of which are sent. `Host` is not among them.
    pub headers: HeaderMap,
}

/// A path as it is sent: dot segments resolved, `\\` as `/`, and escaped if it must be. Rules that allow or
/// refuse paths must look at this form.
#[derive(Clone)]
pub struct ApiPath(String);

impl ApiPath {
    /// The path that is sent for `path`, which holds no query; `None` if no URL can hold it.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = Url::parse(&["http://wechat", slash, path].concat()).ok()?;
        Some(Self(url.path().to_owned()))
    }

    /// The path, with a slash first.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A body that is still arriving.
pub type BodyStream = BoxStream<'static, io::Result<Bytes>>;

/// A call's body.
pub enum CallBody {
    /// Completely received, so that it can be sent again.
    Whole(Bytes),
    /// Still arriving.
    Stream(BodyStream),
}

/// Longer than any call: a call is limited by the time in which nothing moves.
const NO_LIMIT: Duration = Duration::from_hours(24);

impl WeChatClient {
    /// Sends the call and waits until its answer begins. There is no limit to the whole, but the call fails if
    /// no chunk of the body moves for `wechat.timeout`, or the answer does not begin within that time after it.
    pub async fn forward(&self, head: &CallHead, body: CallBody) -> Result<Response, CallError> {
        let started = Instant::now();
        let forwarded = self.forward_to_any(head, body);
        let answer = traced(call_span("wechat", Api::PassThrough.label()), forwarded).await;
        self.metrics.observe(Api::PassThrough, started, answer.as_ref().err());
        answer
    }

    /// The longest wait for the next chunk of a body.
    #[must_use]
    pub fn stall_limit(&self) -> Duration {
        self.timeout
    }

    /// Sends to the first host that accepts a connection. A stream can be sent only once, so to the first host only.
    async fn forward_to_any(&self, head: &CallHead, body: CallBody) -> Result<Response, CallError> {
        let (whole, mut stream) = match body {
            CallBody::Whole(bytes) => (Some(bytes), None),
            CallBody::Stream(stream) => (None, Some(stream)),
        };
        let mut last = String::new();
        for base in &self.bases {
            let activity = LastActivity::default();
            let body = match (&whole, stream.take()) {
                (Some(bytes), _) => Body::from(bytes.clone()),
                (None, Some(stream)) => activity.watch(stream),
                (None, None) => break,
            };
            let url = base
                .join(head.path.as_str(), head.query.as_deref())
                .ok_or_else(unsendable)?;
            let request = self.http.request(head.method.clone(), url);
            let request = request.headers(head.headers.clone()).body(body);
            let sending = http_client::send(request, NO_LIMIT);
            match activity.or_stalled(self.connect_limit + self.timeout, sending).await {
                Some(Ok(response)) => return Ok(response),
                Some(Err(SendError::Connect(why))) => last = why,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(CallError::TimedOut),
            }
        }
        Err(CallError::Unreachable(last))
    }
}

/// When a chunk of a body last moved.
#[derive(Clone)]
struct LastActivity(Arc<Mutex<Instant>>);

impl Default for LastActivity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastActivity {
    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `stream` as a body whose chunks count as activity.
    fn watch(&self, stream: BodyStream) -> Body {
        let activity = self.clone();
        Body::wrap_stream(stream.inspect(move |_| {
            *activity.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }))
    }

    /// Waits for `work`; `None` if there has been no activity for `limit`.
    async fn or_stalled<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let ends = self.get() + limit;
            tokio::select! {
                outcome = &mut work => return Some(outcome),
                () = sleep_until(ends) => {
                    if self.get() + limit <= Instant::now() {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_the_one_that_is_sent() {
        for (path, sent) in [
            ("/cgi-bin/menu/create", "/cgi-bin/menu/create"),
            ("/wxa/a%2Fb", "/wxa/a%2Fb"),
            ("//cgi-bin//token", "//cgi-bin//token"),
            ("/cgi-bin/x/../token", "/cgi-bin/token"),
            ("/cgi-bin/%2e/x/%2E%2e/token", "/cgi-bin/token"),
            ("/cgi-bin\\token", "/cgi-bin/token"),
            ("/x/{y}", "/x/%7By%7D"),
            ("*", "/*"),
        ] {
            let path = ApiPath::parse(path).unwrap();
            assert_eq!(path.as_str(), sent);
            assert_eq!(ApiPath::parse(sent).unwrap().as_str(), sent);
        }
    }
}
