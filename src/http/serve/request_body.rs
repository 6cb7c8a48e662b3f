//! A request's body, which may not stall: neither while a handler reads it, nor when its answer is out.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutBody;

/// `request` with a body that fails if it stalls while it is read, and what shows its progress: each frame changes the
/// value, and the sender goes with the body. Most requests have no body.
pub(super) fn watched(request: Request<Incoming>, stall: Duration) -> (Request<Body>, Option<watch::Receiver<()>>) {
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
/// long that takes. To be called once the answer is there; until then, the route's time limit counts.
pub(super) async fn cut_off_when_stalled(
    mut progress: watch::Receiver<()>,
    stall: Duration,
    cut_off: CancellationToken,
) {
    loop {
        match timeout(stall, progress.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_dropped)) => return,
            Err(_elapsed) => return cut_off.cancel(),
        }
    }
}
