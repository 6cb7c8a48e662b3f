//! Connections: accepted up to a limit, cut where they dawdle, drained at the end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

/// Connections held at once. Beyond it, new ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;

/// How long a client may take to send the head of a request, or to show which HTTP it speaks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of a request: a URL of 8 KiB, percent-encoded, and some headers.
const MAX_HEAD: usize = 64 * 1024;

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The address that a request's connection comes from, in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Serves `listener` with `service` until `stop` is cancelled; then lets requests in flight finish,
/// for `grace` at most.
pub async fn serve<S>(listener: TcpListener, service: S, stop: CancellationToken, grace: Duration)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let draining = GracefulShutdown::new();
    loop {
        let Some(place) = (tokio::select! {
            () = stop.cancelled() => break,
            place = take_place(&places) => place,
        }) else {
            break;
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let (service, watcher) = (service.clone(), draining.watcher());
        let connection = async move {
            // Errors here are the client's: it went away, or spoke no HTTP.
            let _ = stream.set_nodelay(true);
            let _ = converse(stream, Peer(peer.ip()), service, watcher).await;
            drop(place);
        };
        tokio::spawn(connection);
    }
    drop(listener);
    if timeout(grace, draining.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way when server.shutdown_grace ended; they are cut off");
    }
}

async fn take_place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if places.available_permits() == 0 {
        tracing::warn!(
            MAX_CONNECTIONS,
            "as many connections as this process holds; new ones wait"
        );
    }
    Arc::clone(places).acquire_owned().await.ok()
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

async fn converse<S>(
    stream: TcpStream,
    peer: Peer,
    service: S,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let http2 = timeout(HEAD_TIMEOUT, speaks_http2(&stream)).await??;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        service.clone().oneshot(request)
    });
    let stream = TokioIo::new(stream);
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            // A peer that has gone silently away is noticed, and its connection ended.
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        watcher.watch(builder.serve_connection(stream, service)).await?;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD);
        watcher.watch(builder.serve_connection(stream, service)).await?;
    }
    Ok(())
}

/// Looks at a connection's first bytes, without taking them.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut head = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut head).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !HTTP2_PREFACE.starts_with(&head[..seen]) {
            return Ok(false);
        }
        if seen == head.len() {
            return Ok(true);
        }
        // A preface in pieces: peeking again at once would give the same piece.
        sleep(Duration::from_millis(10)).await;
    }
}
