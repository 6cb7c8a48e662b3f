//! The server without wxgate's routes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::http::serve::{ConnectionLimit, Limits, Server, Tls};

/// A server with limits of the test's own.
pub struct BareServer {
    /// Its address.
    pub address: SocketAddr,
    _end: DropGuard,
}

impl BareServer {
    /// Answers every request with its path and body, until it is dropped.
    pub async fn start(limits: Limits) -> Self {
        Self::serving(limits, echo()).await
    }

    /// The same, within this budget of connections.
    pub async fn with_connections(connections: ConnectionLimit) -> Self {
        Self::launch(Limits::default(), connections, None, echo()).await
    }

    /// Serves `routes` until it is dropped.
    pub async fn serving(limits: Limits, routes: Router) -> Self {
        Self::launch(limits, ConnectionLimit::default(), None, routes).await
    }

    /// The same with TLS.
    pub async fn with_tls(limits: Limits, connections: ConnectionLimit, tls: Tls) -> Self {
        Self::launch(limits, connections, Some(tls), echo()).await
    }

    async fn launch(limits: Limits, connections: ConnectionLimit, tls: Option<Tls>, routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = Server {
            limits,
            connections,
            tls,
            ..Server::default()
        };
        tokio::spawn(server.serve(listener, routes, stop.clone(), Duration::ZERO));
        Self {
            address,
            _end: stop.drop_guard(),
        }
    }
}

fn echo() -> Router {
    Router::new().fallback(async |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
        let body = body.unwrap_or_else(|error| Bytes::from(error.to_string()));
        let answer = [path.as_bytes(), b" ", &body].concat();
        Response::new(Body::from(answer))
    })
}
