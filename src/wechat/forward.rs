//! Other systems' calls, passed through unchanged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Body, Method, Response};

use super::CallError;
use super::client::{WeChatCall, WeChatClient, unsendable};
use crate::http_client::{self, LastActivity, NO_LIMIT};
use crate::settings::values::BaseUrl;

/// A call without its body.
pub struct CallHead {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: ApiPath,
    /// The query, escaped as received; it may contain a token.
    pub query: Option<String>,
    /// The headers to send, without `Host`.
    pub headers: HeaderMap,
}

/// A path of WeChat's API in its canonical spelling, which is the one that is sent. Rules that allow, refuse or change
/// calls by path use this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPath(String);

impl ApiPath {
    /// Parses a path. Repeated and trailing slashes are removed: SDKs whose base URL ends in a slash produce them. `None`
    /// for an empty path, and for one that servers may interpret differently: with escapes, dot segments, backslashes, or
    /// parameters after a `;`. None of WeChat's paths needs them.
    pub fn parse(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/')?.split('/').filter(|segment| !segment.is_empty());
        let segments: Vec<&str> = segments.collect();
        let is_plain = !segments.is_empty() && segments.iter().all(|segment| is_plain(segment));
        is_plain.then(|| Self(format!("/{}", segments.join("/"))))
    }

    /// The path, with a leading slash and no trailing one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it is `path`, ignoring case, as WeChat may do.
    pub fn is(&self, path: &str) -> bool {
        self.0.eq_ignore_ascii_case(path)
    }

    /// True if this is its first segment, ignoring case.
    pub fn is_below(&self, segment: &str) -> bool {
        let first = self.0.split('/').nth(1);
        first.is_some_and(|first| first.eq_ignore_ascii_case(segment))
    }
}

/// True if `segment` has only letters, digits, `-`, `_`, `~`, and dots that are neither first nor last.
fn is_plain(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~' | b'.');
    segment.bytes().all(allowed) && !segment.starts_with('.') && !segment.ends_with('.')
}

/// A body that is still arriving.
pub type BodyStream = BoxStream<'static, io::Result<Bytes>>;

/// A call's body. WeChat answers 412 if there is no `Content-Length`.
pub enum CallBody {
    /// Received completely, so it can be sent again.
    Whole(Bytes),
    /// Still arriving, with this total length.
    Stream(BodyStream, usize),
}

/// The length of the slices in which a whole body is sent.
const SLICE: usize = 64 * 1024;

impl WeChatClient {
    /// Sends the call and waits until its answer begins. The total time is unlimited, but the call fails if no chunk of
    /// the body is sent for `wechat.timeout` plus the time to connect, or if the answer does not begin within that time
    /// after the body.
    pub async fn forward(&self, head: &CallHead, body: CallBody) -> Result<Response, CallError> {
        let (length, body) = match body {
            CallBody::Whole(bytes) => (bytes.len(), Offered::Whole(bytes)),
            CallBody::Stream(stream, length) => (length, Offered::Stream(Arc::new(Mutex::new(Some(stream))))),
        };
        let mut headers = head.headers.clone();
        set_length(&mut headers, &head.method, length);
        let forward = |base| self.forward_to(base, head, &headers, &body);
        let forwarded = self.hosts.first_reachable(forward);
        self.observed(WeChatCall::PassThrough, forwarded).await
    }

    /// The maximum wait for the next chunk of a body.
    pub fn stall_limit(&self) -> Duration {
        self.timeout
    }

    async fn forward_to(
        &self,
        base: &BaseUrl,
        head: &CallHead,
        headers: &HeaderMap,
        body: &Offered,
    ) -> Result<Response, CallError> {
        let activity = LastActivity::default();
        let body = body.next(&activity).ok_or_else(|| {
            CallError::Unreachable(
                "the previous host closed the connection after receiving part of the body".to_owned(),
            )
        })?;
        let url = base.join(head.path.as_str(), head.query.as_deref());
        let request = self.http.request(head.method.clone(), url.ok_or_else(unsendable)?);
        let request = request.headers(headers.clone()).body(body);
        let sending = http_client::send(request, NO_LIMIT);
        let sent = activity.or_stalled(self.connect_limit + self.timeout, sending).await;
        let response = sent.ok_or(CallError::TimedOut)??;
        if response.status().is_informational() {
            // Switching protocols would take the connection out of HTTP.
            return Err(CallError::Status(response.status()));
        }
        Ok(response)
    }
}

/// Sets the `Content-Length`. hyper itself would send none with an empty body.
fn set_length(headers: &mut HeaderMap, method: &Method, length: usize) {
    headers.remove(CONTENT_LENGTH);
    if length > 0 || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// A body that is offered to one host after another.
enum Offered {
    Whole(Bytes),
    /// `None` once a host has begun to receive it.
    Stream(Arc<Mutex<Option<BodyStream>>>),
}

impl Offered {
    /// The body for the next host, whose chunks count as `activity`; `None` if an earlier host has received a part of it.
    fn next(&self, activity: &LastActivity) -> Option<Body> {
        let stream = match self {
            // A stream without a length in the headers would be sent chunked.
            Self::Whole(bytes) if bytes.is_empty() => return Some(Body::from(bytes.clone())),
            Self::Whole(bytes) => slices(bytes.clone()),
            Self::Stream(offered) => {
                offered.lock().as_ref()?;
                // Taken at the first poll: the client polls a body only once it has a connection.
                let offered = Arc::clone(offered);
                let taken = async move { offered.lock().take().unwrap_or_else(|| stream::empty().boxed()) };
                taken.flatten_stream().boxed()
            }
        };
        Some(Body::wrap_stream(activity.watch(stream)))
    }
}

/// `bytes` in slices, so that progress in sending them counts as activity.
fn slices(mut bytes: Bytes) -> BodyStream {
    let slices = std::iter::from_fn(move || {
        let length = bytes.len().min(SLICE);
        (length > 0).then(|| Ok(bytes.split_to(length)))
    });
    stream::iter(slices).boxed()
}
