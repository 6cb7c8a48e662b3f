//! An HTTP/1 connection, from the first byte of a request until its client is quiet.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;

use super::body::{Noted, punctual};
use super::pace::{Due, Pace, Watch};
use super::stream::Watched;
use super::{Connection, Serves};

/// What is done with a connection next.
enum Next {
    /// It has ended by itself.
    End,
    /// It has had its time.
    Due(Due),
    /// The server stops.
    Stop,
}

/// Serves the requests on `stream`, of which `seen` has been read. Gives the stream back once its
/// client is quiet, with what has been read of the next request; `None` where it has ended.
pub(super) async fn converse(
    connection: &Connection,
    stream: TcpStream,
    seen: Bytes,
    service: impl Serves,
) -> Option<(TcpStream, Bytes)> {
    let (limits, pace) = (connection.limits(), Pace::default());
    let stream = Watched::new(stream, seen, connection.server.refuse, pace.clone());
    let (body_stall, kept) = (limits.body_stall, pace.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        kept.is_busy();
        let request = request.map(|body| punctual(body, body_stall, Some(&kept)));
        let (answer, pace) = (service.clone().oneshot(request), kept.clone());
        answer.map(|answer| answer.map(|answer| answer.map(|body| Noted::new(body, pace))))
    });
    let mut http = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes)
        // Who has sent a request and shut its side is still answered.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);

    let mut deadline = pin!(sleep_until(Instant::now()));
    let mut watch = Watch::new(pace);
    let mut stop = pin!(connection.stop.asked().fuse());
    loop {
        let next = poll_fn(|cx| {
            if Pin::new(&mut http).poll(cx).is_ready() {
                return Poll::Ready(Next::End);
            }
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Stop);
            }
            let Some((at, due)) = watch.due(limits) else {
                return Poll::Pending;
            };
            if deadline.deadline() != at {
                deadline.as_mut().reset(at);
            }
            deadline.as_mut().poll(cx).map(|()| Next::Due(due))
        });
        match next.await {
            Next::Stop => Pin::new(&mut http).graceful_shutdown(),
            Next::End => {
                let stream = http.into_parts().io.into_inner().into_stream();
                take_leave(stream).await;
                return None;
            }
            Next::Due(Due::Cut) => return None,
            Next::Due(Due::Park) => {
                let parts = http.into_parts();
                // A copy: the buffer itself has some 8 KiB, however little is in it.
                let seen = Bytes::copy_from_slice(&parts.read_buf);
                return Some((parts.io.into_inner().into_stream(), seen));
            }
        }
    }
}

/// Reads on for a moment after our last byte: closing a socket that holds unread bytes resets the
/// connection, and the client may lose the answer that told it what was wrong with them.
async fn take_leave(mut stream: TcpStream) {
    const MOMENT: Duration = Duration::from_secs(1);
    const MOST: usize = 256 * 1024;
    let read_on = async {
        let (mut sink, mut read) = ([0; 1024], 0);
        while let Ok(count @ 1..) = stream.read(&mut sink).await {
            read += count;
            if read >= MOST {
                break;
            }
        }
    };
    let _ = timeout(MOMENT, read_on).await;
}
