//! Gives every request its id, and the client's address in place of the peer's if the peer is a trusted proxy.

use std::sync::Arc;

use axum::extract::Request;
use ipnet::IpNet;

use crate::http::client_address::client_address;
use crate::http::{ClientAddress, RequestId};

/// What puts both into a request's extensions, where all other layers and the handlers find them.
pub(super) fn identify(trusted_proxies: Arc<[IpNet]>) -> impl Fn(Request) -> Request + Clone + Send + Sync {
    move |mut request| {
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id);
        if !trusted_proxies.is_empty() {
            let ClientAddress(peer) = request.extensions().get().copied().unwrap_or_default();
            let client = client_address(peer, request.headers(), &trusted_proxies);
            request.extensions_mut().insert(ClientAddress(client));
        }
        request
    }
}
