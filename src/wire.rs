//! Outgoing requests whose bodies are streamed within bounded buffers.
//!
//! A connection of reqwest's may hold 400 KiB on its way in and as much on its way out, and reqwest
//! has no switch for that; an upload would take four times the memory that it is meant to. So
//! requests are built and answers read with reqwest's types, and sent here, over hyper's own client.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use axum::http::{self, HeaderValue, header};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::{Body, Request, Response};
use tokio::time::timeout;

/// What a connection that brings pictures reads at once, and so the size of the pieces they come in. A
/// picture on its way has two: one being read, one being written. That is the memory an upload may
/// take, and the larger they are the fewer system calls it costs.
pub const PIECE: usize = 96 * 1024;

/// What a connection that takes pictures away may hold of an answer; and it asks for the next piece of
/// a picture when less than this is left of the one before.
const LITTLE: usize = 16 * 1024;

/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_secs(60);

/// A client for streams. Redirects are answers like any other, and no proxy is used.
pub struct Wire {
    /// Builds requests; sends none.
    builder: reqwest::Client,
    client: Client<HttpsConnector<HttpConnector>, Body>,
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
        connector.set_connect_timeout(Some(connect_timeout));
        let tls = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(io::Error::other)?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(buffer)
            .build(connector);
        Ok(Self {
            builder: reqwest::Client::new(),
            client,
            user_agent: HeaderValue::from_static(concat!("wxgate/", env!("CARGO_PKG_VERSION"))),
        })
    }

    /// What requests to [`Wire::send`] are built with.
    #[must_use]
    pub fn builder(&self) -> &reqwest::Client {
        &self.builder
    }

    /// Sends `request`, and waits for its answer to begin, at most for `limit`. The answer's body is
    /// read on without a limit; see [`pieces`].
    pub async fn send(&self, request: Request, limit: Duration) -> Result<Response, WireError> {
        let mut request: http::Request<Body> = request
            .try_into()
            .map_err(|error: reqwest::Error| WireError::Broken(root_cause(&error)))?;
        request
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        match timeout(limit, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(Body::wrap).into()),
            Ok(Err(error)) if error.is_connect() => Err(WireError::Connect(root_cause(&error))),
            Ok(Err(error)) => Err(WireError::Broken(root_cause(&error))),
            Err(_) => Err(WireError::TimedOut),
        }
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

/// The body of `response`, piece by piece; each may take `stall` at most. Ends after an error.
#[must_use]
pub fn pieces(response: Response, stall: Duration) -> BoxStream<'static, Result<Bytes, BodyError>> {
    let body = response.bytes_stream().boxed();
    let next = move |body: Option<BoxStream<'static, reqwest::Result<Bytes>>>| async move {
        let mut body = body?;
        match timeout(stall, body.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(_))) => Some((Err(BodyError::CutOff), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BodyError::Stalled), None)),
        }
    };
    futures_util::stream::unfold(Some(body), next).fuse().boxed()
}

/// The root of an error's chain, the only part that is sure to name no URL.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    if root.is::<reqwest::Error>() {
        "the request failed".to_owned()
    } else {
        root.to_string()
    }
}
