//! Connections: accepted up to a limit, cut where they dawdle, drained at the end.
//!
//! A connection holds no buffer while its client is quiet: HTTP/1's machinery is set up when bytes
//! come, and given back when the answer is out and no more of them follow. So ten thousand idle
//! clients cost little, and an idle client may stay for longer than a slow one.

mod body;
mod http1;
mod http2;
mod open_files;
mod pace;
mod stream;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use open_files::raise_open_files;

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The answer to what is no request: malformed (400), or with too large a head (414, 431).
pub type Refuse = fn(StatusCode) -> Response<Bytes>;

/// What a connection may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections held at once. Beyond it, new ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a new connection may be quiet before its first request. A proxy that keeps spare
    /// connections loses one that it has never used, and notices.
    pub first_byte: Duration,
    /// How long the head of a request may take from its first byte to its last.
    pub head: Duration,
    /// How long a connection may be quiet between two requests: longer than the minute after which
    /// the usual proxies drop theirs, since a request sent while we hang up is lost.
    pub idle: Duration,
    /// The same while few places are left.
    pub idle_when_crowded: Duration,
    /// How long a request's body may stall while it is waited for. Longer than the time that routes
    /// give a whole body, since they answer in their own words.
    pub body_stall: Duration,
    /// How long a client may leave an answer untaken.
    pub write_stall: Duration,
    /// An HTTP/2 connection that has begun no request for so long is asked to end.
    pub http2_idle: Duration,
    /// The longest head of a request: a URL of 8 KiB, percent-encoded, and as much of other headers.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: open_files::connections(),
            first_byte: Duration::from_secs(30),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            idle_when_crowded: Duration::from_secs(5),
            body_stall: Duration::from_secs(15),
            write_stall: Duration::from_secs(30),
            http2_idle: Duration::from_secs(40),
            head_bytes: 48 * 1024,
        }
    }
}

/// What serves a connection's requests.
pub trait Serves:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Serves for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves `listener` until `stop` is cancelled; then lets requests in flight finish, for `grace` at
/// most. `service` makes what serves a connection that comes from this address.
pub async fn serve<S: Serves>(
    listener: TcpListener,
    service: impl Fn(IpAddr) -> S,
    stop: CancellationToken,
    grace: Duration,
) {
    Server::default().serve(listener, service, stop, grace).await;
}

/// A listener's limits and manners.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// What a connection may cost.
    pub limits: Limits,
    /// Answers what is no request, over HTTP/1; a bare status where it is not set.
    pub refuse: Option<Refuse>,
}

impl Server {
    /// Serves `listener` until `stop` is cancelled; then lets requests in flight finish, for `grace` at
    /// most. `service` makes what serves a connection that comes from this address.
    pub async fn serve<S: Serves>(
        self,
        listener: TcpListener,
        service: impl Fn(IpAddr) -> S,
        stop: CancellationToken,
        grace: Duration,
    ) {
        let places = Places::new(self.limits.connections);
        let (mut connections, drain) = (JoinSet::new(), Drain::default());
        let server = Arc::new(self);
        loop {
            let Some(place) = (tokio::select! {
                () = stop.cancelled() => break,
                place = places.take() => place,
            }) else {
                break;
            };
            let (stream, peer) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&listener) => accepted,
            };
            let connection = Connection {
                server: Arc::clone(&server),
                places: places.clone(),
                stop: drain.clone(),
            };
            let service = service(peer.ip());
            connections.spawn(async move {
                // Errors here are the client's: it went away, or spoke no HTTP.
                let _ = connection.converse(stream, service).await;
                drop(place);
            });
            // Those that have ended are forgotten.
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        drain.begin();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(grace, all_ended).await.is_err() {
            tracing::warn!("requests were still under way when server.shutdown_grace ended; they are cut off");
            connections.shutdown().await;
        }
    }
}

/// Tells connections that the server stops.
#[derive(Clone, Default)]
struct Drain {
    begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Drain {
    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Waits until the drain has begun. To be polled by one task only.
    ///
    /// A connection polls this each time that it does anything, and each poll of a cancellation token
    /// takes a lock that all connections share: so the token is only asked to wake the task, once.
    async fn asked(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut registered = false;
        poll_fn(|cx| {
            if !registered {
                registered = true;
                return cancelled.as_mut().poll(cx);
            }
            if self.begun.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// The connections that may be held at once.
#[derive(Clone)]
struct Places {
    free: Arc<Semaphore>,
    all: usize,
    said: Arc<std::sync::Mutex<Option<Instant>>>,
}

impl Places {
    /// A flood must not fill the log as well.
    const SAY_AGAIN_AFTER: Duration = Duration::from_mins(1);

    fn new(all: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
            said: Arc::default(),
        }
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 && self.may_say() {
            tracing::warn!(
                connections = self.all,
                "as many connections as this listener holds are open; new ones wait until some end. If they are \
                 all real, add replicas, or raise the limit on open files where that is below 22,000"
            );
        }
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn may_say(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let may = said.is_none_or(|said| said.elapsed() >= Self::SAY_AGAIN_AFTER);
        if may {
            *said = Some(Instant::now());
        }
        may
    }

    /// True while less than an eighth of the places is free.
    fn are_few(&self) -> bool {
        self.free.available_permits() < self.all / 8
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of file descriptors, most likely: without a pause this would spin.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A client, and what it gets.
struct Connection {
    server: Arc<Server>,
    places: Places,
    stop: Drain,
}

impl Connection {
    fn limits(&self) -> &Limits {
        &self.server.limits
    }

    async fn converse(&self, mut stream: TcpStream, service: impl Serves) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        if !self.has_bytes(&stream, self.limits().first_byte).await {
            return Ok(());
        }
        let (http2, seen) = timeout(self.limits().head, begins_http2(&mut stream)).await??;
        // Boxed, as a future as large as HTTP's machinery would make every idle connection as large.
        if http2 {
            Box::pin(http2::converse(self, stream, seen, service)).await;
        } else {
            self.converse_http1(stream, seen, service).await;
        }
        Ok(())
    }

    async fn converse_http1(&self, mut stream: TcpStream, mut seen: Bytes, service: impl Serves) {
        loop {
            let Some(quiet) = Box::pin(http1::converse(self, stream, seen, service.clone())).await else {
                return;
            };
            (stream, seen) = quiet;
            let idle = if self.places.are_few() {
                self.limits().idle_when_crowded
            } else {
                self.limits().idle
            };
            if seen.is_empty() && !self.has_bytes(&stream, idle).await {
                return;
            }
        }
    }

    /// Waits for the client's next bytes; false where it hung up, or the time or the server ended.
    async fn has_bytes(&self, stream: &TcpStream, within: Duration) -> bool {
        let mut first = [0];
        tokio::select! {
            () = self.stop.asked() => false,
            seen = timeout(within, stream.peek(&mut first)) => matches!(seen, Ok(Ok(1..))),
        }
    }
}

/// Reads until a connection has shown which HTTP it speaks; what was read goes with the answer.
async fn begins_http2(stream: &mut TcpStream) -> io::Result<(bool, Bytes)> {
    let mut head = [0; HTTP2_PREFACE.len()];
    let mut seen = 0;
    while seen < head.len() && HTTP2_PREFACE.starts_with(&head[..seen]) {
        match stream.read(&mut head[seen..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => seen += count,
        }
    }
    Ok((head == *HTTP2_PREFACE, Bytes::copy_from_slice(&head[..seen])))
}
