//! What happens to every request of the internal listener: its id, its line in the log.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::FutureExt;
use tokio::time::Instant;
use tower::Layer;
use tracing::Instrument;

use super::answer::Refusal;
use crate::api::{RequestId, SLOW, X_REQUEST_ID};
use crate::server::Serves;
use crate::telemetry::{log_span, millis, request_answered, request_span};

/// Who asked, for the log; handlers put it into the answer's extensions.
#[derive(Clone)]
pub(super) struct AskedBy(pub(super) String);

/// Why a request came to nothing, for the log.
#[derive(Clone)]
pub(super) struct Because(pub(super) String);

/// The address that a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Address(pub(super) IpAddr);

impl Address {
    fn of(extensions: &Extensions) -> Self {
        let nowhere = Self(Ipv4Addr::UNSPECIFIED.into());
        extensions.get().copied().unwrap_or(nowhere)
    }
}

/// `routes`, for a connection that comes from `peer`.
#[must_use]
pub fn for_peer(routes: Router, peer: IpAddr) -> impl Serves {
    Extension(Address(peer.to_canonical())).layer(routes)
}

impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id);
    let (method, Address(address)) = (request.method().clone(), Address::of(request.extensions()));
    // Only known paths are named: any other may hold anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("pass-through", MatchedPath::as_str);
    // Monitoring asks all day long.
    let is_probe = method == Method::GET && matches!(route, "/metrics" | "/healthz" | "/readyz" | "/console");
    let span = if is_probe {
        log_span(id.as_str())
    } else {
        request_span(&method, route, request.headers(), id.as_str())
    };

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = answer.instrument(span.clone()).await;
    let mut response = answer.unwrap_or_else(|_| {
        tracing::error!(%id, route, "a panic");
        let mut response = Refusal::new(-1, "a bug in the gateway; see its log").into_response();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    });
    response.headers_mut().insert(X_REQUEST_ID, id.header_value());

    request_answered(&span, response.status());
    let asked_by = response.extensions().get::<AskedBy>();
    let because = response.extensions().get::<Because>();
    let (client, because) = (
        asked_by.map(|AskedBy(name)| name.as_str()),
        because.map(|Because(why)| why.as_str()),
    );
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let (ms, failed) = (millis(took), because.is_some() || status >= 400);
    span.in_scope(|| {
        // Who was given a token has to be known afterwards.
        if failed || client.is_some() || took >= SLOW {
            tracing::info!(route, %method, status, ms, %address, client, because, "internal");
        } else {
            tracing::debug!(route, %method, status, ms, %address, "internal");
        }
    });
    response
}
