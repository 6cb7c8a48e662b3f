//! A WeChat that runs on your desk: the server API with its real rules and texts, the phone's side
//! of the JS-SDK, a demo page, and a switch for everything that can go wrong.
//!
//! `wxgate sandbox` listens, and `GET /sandbox` there explains the control API; tests in the same
//! process steer a [`Sandbox`] directly. It uses nothing of the gateway but signatures, names and
//! secrets.
//!
//! Where WeChat documents nothing, it behaves so:
//! - `force_refresh` too soon or too often answers the current token, as without it.
//! - A stable token that was renewed in its last minutes lives them out beside the new one.
//! - A ticket is replaced after its ttl and verifies for twice as long; its `expires_in` never
//!   shrinks; no access token has anything to do with its life.
//! - Only the two token calls look at the caller's address.
//! - Days and months begin at midnight in China.
//!
//! From the ground up: `clock`, `tokens`, `tickets` and `media` are the state machines; `wechat`
//! answers calls with them; `fault` and `switchboard` say what goes wrong; `exchange` puts both
//! together; `delivery` and `connection` write it onto the wire; `phone` and `control` are the
//! sandbox's own routes.

mod account;
mod answer;
mod api;
mod clock;
mod config;
mod connection;
mod control;
mod delivery;
mod errmsg;
mod exchange;
mod fault;
mod handle;
mod media;
mod multipart;
mod phone;
mod random;
mod request;
mod state;
mod switchboard;
mod tickets;
mod tokens;
mod verify;
mod wechat;

use std::io;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use api::Api;
pub use config::{SandboxAccount, SandboxConfig};
pub use fault::{End, Fault, Rule};
pub use handle::{Sandbox, UnknownAccount};
pub use media::Upload;
pub use state::{AccountState, CallRecord, CredentialState, SandboxState};
pub use switchboard::{RuleId, RuleState};
pub use tokens::{Kill, TokenKind};
pub use verify::ConfigResult;

impl Sandbox {
    /// Serves WeChat's API, the phone's routes and the control API until `shutdown`; then every
    /// connection ends at once. Fails only where the listener does.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let control = control::router(self.clone());
        let router = self
            .phone_router()
            .merge(control)
            .route("/healthz", get(async || "ok\n"));
        connection::serve(self, router, listener, shutdown).await
    }

    /// The demo page at `/` and the phone's routes `/sandbox/verify` and `/sandbox/upload`, for a
    /// gateway that runs against this sandbox. The control API is not among them.
    pub fn phone_router(&self) -> Router {
        phone::router(self.clone())
    }
}
