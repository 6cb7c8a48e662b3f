//! An HTTP/2 connection.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;

use super::body::punctual;
use super::pace::Pace;
use super::stream::Watched;
use super::{Connection, Serves};

/// Requests under way at once on one connection.
const STREAMS: u32 = 128;

/// Requests that a client has taken back before they were looked at; beyond it the connection ends.
/// A browser takes back a few, a flood of resets thousands.
const RESETS: usize = 20;

/// A connection that was asked to end, and whose answers are still not taken, is cut.
const ENDING: Duration = Duration::from_mins(2);

/// Serves the requests on `stream`, of which `seen` has been read.
pub(super) async fn converse(connection: &Connection, stream: TcpStream, seen: Bytes, service: impl Serves) {
    let limits = connection.limits();
    let body_stall = limits.body_stall;
    let last_request = Arc::new(Mutex::new(Instant::now()));
    let noted = Arc::clone(&last_request);
    let service = service_fn(move |request: Request<Incoming>| {
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        service
            .clone()
            .oneshot(request.map(|body| punctual(body, body_stall, None)))
    });
    let stream = Watched::new(stream, seen, None, Pace::default());
    let http = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(64 * 1024)
        // A peer that has gone silently away is noticed, and its connection ended.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service);
    let mut http = pin!(http);

    let idle = async {
        loop {
            let at = *last_request.lock().unwrap_or_else(PoisonError::into_inner) + limits.http2_idle;
            if at <= Instant::now() {
                return;
            }
            sleep_until(at).await;
        }
    };
    tokio::select! {
        _ = &mut http => return,
        () = idle => {}
        () = connection.stop.asked() => {}
    }
    Pin::as_mut(&mut http).graceful_shutdown();
    let _ = tokio::time::timeout(ENDING, http).await;
}
