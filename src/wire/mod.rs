//! Outgoing requests whose bodies are streamed within bounded buffers.
//!
//! This is hyper's own client. A connection of reqwest's may hold 400 KiB on its way in and as much on
//! its way out, and has no switch for that; an upload would take four times the memory it is meant to.

mod arriving;

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Uri, header};
use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use futures_util::stream::{Stream, TryStreamExt};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use arriving::{Arriving, OnTheSpot};

/// What a connection that brings pictures reads at once, and so the size of the pieces they come in. A
/// picture on its way has one, and another one while the last of that is still being written. That is
/// the memory an upload may take. Larger pieces cost fewer system calls, until they no longer fit the
/// processor's caches between reading and writing. A photo as pages mostly send them, some 200 KB, is
/// two pieces.
pub const PIECE: usize = 104 * 1024;

/// What a connection that takes pictures away may hold of an answer; and it asks for the next piece of
/// a picture when less than this is left of the one before.
const LITTLE: usize = 16 * 1024;

/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_mins(1);

/// Makes connections, names looked up and TLS spoken.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// A client for streams. Redirects are answers like any other, and no proxy is used.
pub struct Wire {
    client: Client<Connector, Outgoing>,
    user_agent: HeaderValue,
}

/// How a request failed before its answer began. No text holds a URL.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No connection could be made; the request was not sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The answer did not begin in time.
    #[error("no answer in time")]
    TimedOut,
}

impl Wire {
    /// A client that fetches pictures. Its connections stand within `connect_timeout` or fail.
    pub fn inbound(connect_timeout: Duration) -> io::Result<Self> {
        Self::new(connect_timeout, PIECE)
    }

    /// A client that takes pictures away, and brings little. Its connections stand within
    /// `connect_timeout` or fail.
    pub fn outbound(connect_timeout: Duration) -> io::Result<Self> {
        Self::new(connect_timeout, LITTLE)
    }

    fn new(connect_timeout: Duration, buffer: usize) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(io::Error::other)?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(connector);
        // Over all of it: a connector's own limit is on TCP alone, and a host may hang before and after.
        let connector = Connector::new(Timeout::new(connector, connect_timeout));
        let client = Client::builder(OnTheSpot)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(buffer)
            .build(connector);
        Ok(Self {
            client,
            user_agent: HeaderValue::from_static(concat!("wxgate/", env!("CARGO_PKG_VERSION"))),
        })
    }

    /// Sends `request`, and waits for its answer to begin, at most for `limit`. The answer's body is
    /// read on without a limit; see [`Pieces`].
    pub async fn send<B: Into<Outgoing>>(
        &self,
        request: Request<B>,
        limit: Duration,
    ) -> Result<Response<Incoming>, WireError> {
        let mut request = request.map(Into::into);
        let headers = request.headers_mut();
        headers
            .entry(header::USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        match timeout(limit, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() => Err(WireError::Connect(root_cause(&error))),
            Ok(Err(error)) => Err(WireError::Broken(root_cause(&error))),
            Err(_) => Err(WireError::TimedOut),
        }
    }
}

/// A request's body.
pub struct Outgoing {
    body: Body,
    /// How many bytes of `body` are to come, where that is known.
    left: Option<u64>,
    tail: Bytes,
}

impl Outgoing {
    /// `body`, which has `length` bytes where that is known, and then `tail`. With its length known, its
    /// last piece and `tail` leave in one write, not in two, each a packet of its own.
    #[must_use]
    pub fn with_tail(body: Body, length: Option<u64>, tail: Bytes) -> Self {
        Self {
            body,
            left: length,
            tail,
        }
    }

    /// `piece`, and the tail if it is the last.
    fn leaving(&mut self, piece: Bytes) -> Chain<Bytes, Bytes> {
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        let after = match self.left {
            Some(0) => std::mem::take(&mut self.tail),
            _ => Bytes::new(),
        };
        piece.chain(after)
    }
}

impl From<Body> for Outgoing {
    fn from(body: Body) -> Self {
        Self::with_tail(body, None, Bytes::new())
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Chain<Bytes, Bytes>;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(frame) => Some(frame.map(|frame| frame.map_data(|piece| this.leaving(piece)))),
            None if this.tail.is_empty() => None,
            None => Some(Ok(Frame::data(std::mem::take(&mut this.tail).chain(Bytes::new())))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, tail) = (self.body.size_hint(), self.tail.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + tail);
        }
        hint.set_lower(hint.lower() + tail);
        hint
    }
}

/// How a body failed to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It ended before its time.
    CutOff,
    /// No piece of it came in time.
    Stalled,
}

/// An answer's body, piece by piece. Ends after an error.
pub struct Pieces {
    body: Option<Arriving>,
    stall: Duration,
    /// Set while a piece is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    /// The pieces of `body`; each may take `stall` at most.
    #[must_use]
    pub fn of(body: Incoming, stall: Duration) -> Self {
        Self {
            body: Some(Arriving::new(body)),
            stall,
            waiting: None,
        }
    }

    /// All of them in one; `None` where they are more than `limit` bytes.
    pub async fn whole(mut self, limit: usize) -> Result<Option<Vec<u8>>, BodyError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.try_next().await? {
            if whole.len() + piece.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole))
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let last = loop {
            match body.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waiting = None;
                    // What is no data is trailers, and nobody asks for those.
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Ready(Some(Err(_))) => break Some(Err(BodyError::CutOff)),
                Poll::Ready(None) => break None,
                Poll::Pending => {
                    let stall = this.stall;
                    let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(stall)));
                    ready!(waiting.as_mut().poll(cx));
                    break Some(Err(BodyError::Stalled));
                }
            }
        };
        this.body = None;
        this.waiting = None;
        Poll::Ready(last)
    }
}

/// The root of an error's chain, the only part that is sure to name no URL.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    /// What leaves, write by write, of a body in these pieces with the tail `--`.
    async fn writes(pieces: &[&'static str], length: Option<u64>) -> Vec<Bytes> {
        let pieces: Vec<Result<Bytes, Infallible>> = pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        let body = Body::from_stream(stream::iter(pieces));
        let mut outgoing = Outgoing::with_tail(body, length, Bytes::from("--"));
        let mut writes = Vec::new();
        while let Some(frame) = outgoing.frame().await {
            let mut data = frame.unwrap().into_data().unwrap();
            writes.push(data.copy_to_bytes(data.remaining()));
        }
        writes
    }

    #[tokio::test]
    async fn the_tail_leaves_with_the_last_piece() {
        assert_eq!(writes(&["ab", "c"], Some(3)).await, ["ab", "c--"]);
        assert_eq!(writes(&["abc"], Some(3)).await, ["abc--"]);
    }

    #[tokio::test]
    async fn the_tail_comes_last_whatever_the_length() {
        assert_eq!(writes(&["ab", "c"], None).await, ["ab", "c", "--"]);
        assert_eq!(writes(&["ab"], Some(3)).await, ["ab", "--"], "shorter than told");
        assert_eq!(writes(&[], Some(0)).await, ["--"]);
    }
}
