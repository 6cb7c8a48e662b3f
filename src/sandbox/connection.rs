//! The sandbox's listener. hyper reads each request and answers the sandbox's own routes. For WeChat's routes the
//! connection is taken back from hyper, and [`Delivery`] writes the answer byte for byte.

use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::answer::{Answer, Delivery, Payload};
use super::control;
use super::exchange::exchange;
use super::handle::Sandbox;
use super::request::Request;

/// The largest body of an upload.
pub(super) const MAX_BODY: usize = 20 * 1024 * 1024;
/// Allowance for the multipart form around it.
const FORM: usize = 64 * 1024;
/// The maximum wait for a request's headers, on an idle connection too.
const IDLE: Duration = Duration::from_secs(75);
/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl Sandbox {
    /// Serves WeChat's API, the phone's routes and the control API until `shutdown`; then closes every connection at once:
    /// no graceful drain, because nothing depends on it.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let control = control::router(self.clone()).route("/healthz", get("ok\n"));
        let router = self.phone_router().merge(control);
        let mut connections = JoinSet::new();
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    // Send small answers at once. If this fails, they are only slower.
                    _ = stream.set_nodelay(true);
                    connections.spawn(connection(self.clone(), router.clone(), stream, peer.ip()));
                }
                // The client left before it was accepted, or too many files are open.
                Err(error) => {
                    tracing::debug!("a connection can't be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            // Frees the memory of connections that have ended.
            while connections.try_join_next().is_some() {}
        }
        connections.shutdown().await;
    }
}

async fn connection(sandbox: Sandbox, router: Router, mut stream: TcpStream, peer: IpAddr) {
    let (sender, mut deliveries) = mpsc::channel(1);
    loop {
        let service =
            service_fn(|request| answer(sandbox.clone(), router.clone(), request, peer, sender.clone()).boxed());
        let mut http = http1::Builder::new()
            .timer(TokioTimer::new())
            // A client may end its side before it has the answer.
            .half_close(true)
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(stream), service);
        let delivery = tokio::select! {
            biased;
            Some(delivery) = deliveries.recv() => delivery,
            _ = &mut http => return,
        };
        let parts = http.into_parts();
        // An error only means that the client has closed the connection.
        let Ok(Some(open)) = delivery.send(parts.io.into_inner()).await else {
            return;
        };
        // Pipelined requests are not supported: none of our clients sends a request before it has the previous answer.
        if !parts.read_buf.is_empty() {
            return;
        }
        stream = open;
    }
}

/// Answers requests to the sandbox's own routes. For WeChat's routes it sends the answer to `deliveries` and never
/// completes, because `connection` drops it and writes the answer itself.
async fn answer(
    sandbox: Sandbox,
    router: Router,
    request: http::Request<Incoming>,
    peer: IpAddr,
    deliveries: mpsc::Sender<Delivery>,
) -> Result<Response, Infallible> {
    let path = request.uri().path();
    if is_foreign(path, request.headers()) {
        let text = "the sandbox refuses calls from pages of another origin, except on the phone's routes\n";
        return Ok((http::StatusCode::FORBIDDEN, text).into_response());
    }
    if matches!(path, "/" | "/sandbox" | "/healthz") || path.starts_with("/sandbox/") {
        return router.oneshot(request.map(Body::new)).await;
    }
    let delivery = match read(request, peer).await {
        Ok(request) => exchange(&sandbox, request).await,
        Err(status) => {
            let mut answer = Answer::empty(status);
            answer.close = true;
            Delivery::new(Payload::Answer(answer), sandbox.unix_time())
        }
    };
    // This fails only if the connection is closed.
    _ = deliveries.send(delivery).await;
    pending().await
}

/// Reads the whole request; on failure, returns the status to refuse it with.
async fn read(request: http::Request<Incoming>, peer: IpAddr) -> Result<Request, u16> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY + FORM).collect().await;
    let body = body.map_err(|error| if error.is::<LengthLimitError>() { 413_u16 } else { 400 })?;
    Ok(Request {
        head,
        body: body.to_bytes(),
        peer,
    })
}

/// Whether a browser sent the request for a page of another origin, to a route that is not open to all pages. A page that
/// a developer has open must not invalidate the tokens of a sandbox on the same machine.
fn is_foreign(path: &str, headers: &http::HeaderMap) -> bool {
    // The phone's routes: the demo page, and what the WeChat app does for any page.
    let file = path.strip_prefix("/sandbox/").unwrap_or_default();
    let is_for_all = path == "/" || matches!(file, "demo.js" | "compare.js" | "demo.css" | "verify" | "upload");
    let Some(origin) = headers.get(http::header::ORIGIN) else {
        return false;
    };
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    !is_for_all && authority.is_none_or(|(_, authority)| Some(authority) != host)
}
