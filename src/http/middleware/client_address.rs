//! Replaces the peer's address by the client's, if the peer is a trusted proxy.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use ipnet::IpNet;
use tower::{Layer, Service};

use crate::http::Client;
use crate::http::client_address::client_address;

#[derive(Clone)]
pub(super) struct ClientAddressLayer {
    trusted: Option<Arc<[IpNet]>>,
}

impl ClientAddressLayer {
    pub(super) fn new(trusted: &Arc<[IpNet]>) -> Self {
        Self {
            trusted: (!trusted.is_empty()).then(|| Arc::clone(trusted)),
        }
    }
}

impl<S> Layer<S> for ClientAddressLayer {
    type Service = WithClientAddress<S>;

    fn layer(&self, inner: S) -> WithClientAddress<S> {
        WithClientAddress {
            inner,
            trusted: self.trusted.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct WithClientAddress<S> {
    inner: S,
    trusted: Option<Arc<[IpNet]>>,
}

impl<S: Service<Request>> Service<Request> for WithClientAddress<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        if let Some(trusted) = &self.trusted {
            let Client(peer) = request.extensions().get().copied().unwrap_or_default();
            let client = client_address(peer, request.headers(), trusted);
            request.extensions_mut().insert(Client(client));
        }
        self.inner.call(request)
    }
}
