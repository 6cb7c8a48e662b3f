//! The server: connections are accepted up to a limit, closed when they are too slow, and drained at the end.
//!
//! hyper speaks HTTP/1, not HTTP/2, and itself refuses all but HTTP/1.0 and HTTP/1.1. A listener may speak TLS (`tls`).

mod connection_limit;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::TryFutureExt;
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

pub use connection_limit::{ConnectionLimit, raise_open_files};
pub use tls::Tls;

use super::{ClientAddress, HttpMetrics};

/// Limits on the time and memory of a connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a connection may take until the head of its next request is complete, idle time included. Longer than the
    /// minute or so after which common proxies drop an idle connection, because a request that is sent while the gateway
    /// closes the connection is lost.
    pub head: Duration,
    /// The same for connections accepted when few connections are left.
    pub head_when_nearly_full: Duration,
    /// How long a request's body may stall: while a handler waits for it, the body fails; after the answer, the
    /// connection ends. Longer than the routes' time limit for a whole body, so that the route's own error is answered.
    pub body_stall: Duration,
    /// How long a client may go without reading its answer.
    pub write_stall: Duration,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// The maximum length of a request's head: a URL of 8 KiB, percent-encoded, and as much of other headers.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(80),
            head_when_nearly_full: Duration::from_secs(10),
            body_stall: Duration::from_secs(15),
            write_stall: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            head_bytes: 48 * 1024,
        }
    }
}

/// How a listener is served. The listeners of one process share `connections`.
#[derive(Clone, Default)]
pub struct Server {
    /// The limits on each connection.
    pub limits: Limits,
    /// How many connections may be open at once.
    pub connections: ConnectionLimit,
    /// If set, the listener speaks TLS and nothing else.
    pub tls: Option<Tls>,
    /// If set, counts the requests that hyper refuses.
    pub malformed: Option<HttpMetrics>,
    /// Once cancelled, each answer is the last one of its connection: a proxy in front that keeps connections open would
    /// send a request just when the drain closes them, and lose it.
    pub closing: CancellationToken,
}

/// The listener's local address of the connection. It is in the extensions of requests in absolute form only: it is
/// needed to decide whether such a request is meant for this server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAddress(pub(crate) SocketAddr);

impl Server {
    /// Serves `listener` until `stop` is cancelled, then lets requests in flight finish, for at most `grace`.
    pub async fn serve(self, listener: TcpListener, routes: Router, stop: CancellationToken, grace: Duration) {
        let (mut tasks, graceful) = (JoinSet::new(), GracefulShutdown::new());
        while let Some((permit, stream, peer)) = stop
            .run_until_cancelled(async {
                let permit = self.connections.acquire().await;
                let (stream, peer) = self.accept(&listener).await;
                (permit, stream, peer)
            })
            .await
        {
            let (peer, local) = (peer.ip().to_canonical(), stream.local_addr().map(LocalAddress).ok());
            let _ = stream.set_nodelay(true);
            let mut stream = Box::pin(TimeoutWriter::new(stream));
            stream.as_mut().set_timeout_pinned(Some(self.limits.write_stall));
            let (server, routes, watcher) = (self.clone(), routes.clone(), graceful.watcher());
            if let Some(tls) = self.tls.clone() {
                let stop = stop.clone();
                tasks.spawn(async move {
                    let handshake = tls.accept(stream, server.limits.handshake);
                    if let Some(Some(stream)) = stop.run_until_cancelled(handshake).await {
                        server.serve_http1(stream, peer, local, routes, watcher).await;
                    }
                    drop(permit);
                });
            } else {
                let connection = server.serve_http1(stream, peer, local, routes, watcher);
                tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Frees those that have ended.
            while tasks.try_join_next().is_some() {}
        }
        drop(listener);
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight when server.shutdown_grace ended; they are aborted");
            tasks.shutdown().await;
        }
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    self.connections.warn_of_refusal(&error);
                    // Without a pause this would spin.
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Serves one connection until it ends. Errors are the client's: it hung up, or did not speak HTTP/1.1.
    fn serve_http1<IO>(
        &self,
        stream: IO,
        peer: IpAddr,
        local: Option<LocalAddress>,
        routes: Router,
        watcher: Watcher,
    ) -> impl Future<Output = ()> + Send + use<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let head = if self.connections.is_nearly_full() {
            self.limits.head_when_nearly_full
        } else {
            self.limits.head
        };
        let stall = self.limits.body_stall;
        // Cancelled if the rest of a body stalls after its answer.
        let cut_off = CancellationToken::new();
        let connection_cut_off = cut_off.clone();
        let closing = self.closing.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (mut request, progress) = watched(request, stall);
            request.extensions_mut().insert(ClientAddress(peer));
            if let Some(local) = local.filter(|_| request.uri().authority().is_some()) {
                request.extensions_mut().insert(local);
            }
            let (cut_off, closing) = (cut_off.clone(), closing.clone());
            routes.clone().oneshot(request).map_ok(move |mut response| {
                if let Some(progress) = progress {
                    tokio::spawn(cut_off_when_stalled(progress, stall, cut_off));
                }
                if closing.is_cancelled() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                response
            })
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(self.limits.head_bytes)
            // A half-closed client still gets its response.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // Boxed, since each async block around it would store it twice.
        let connection = Box::pin(watcher.watch(connection));
        let malformed = self.malformed.clone();
        async move {
            let ended = connection_cut_off.run_until_cancelled(connection).await;
            if let Some(Err(error)) = ended
                && error.is_parse()
            {
                // hyper has answered it, or hung up. The error does not quote the request.
                tracing::debug!(client = %peer, %error, "a malformed request was refused");
                if let Some(metrics) = malformed {
                    metrics.count_malformed(&error);
                }
            }
        }
    }
}

/// `request` with a body that fails if it stalls while it is read, and a receiver for its progress: each frame changes
/// the value, and the sender is dropped with the body. Most requests have no body.
fn watched(request: Request<Incoming>, stall: Duration) -> (Request<Body>, Option<watch::Receiver<()>>) {
    if request.body().is_end_stream() {
        return (request.map(|_| Body::empty()), None);
    }
    let (read, progress) = watch::channel(());
    let request = request.map(|body| {
        Body::new(TimeoutBody::new(stall, body).map_frame(move |frame| {
            read.send_replace(());
            frame
        }))
    });
    (request, Some(progress))
}

/// Cancels `cut_off` if the body is still held and has not been read for `stall`: hyper waits for its reader, however
/// long that takes. To be called once the answer exists; until then, the route's time limit applies.
async fn cut_off_when_stalled(mut progress: watch::Receiver<()>, stall: Duration, cut_off: CancellationToken) {
    loop {
        match timeout(stall, progress.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_dropped)) => return,
            Err(_elapsed) => return cut_off.cancel(),
        }
    }
}
