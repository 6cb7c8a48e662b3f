//! A simulated WeChat: the server API with its real rules and texts, the phone's side of the JS-SDK, a demo page, and
//! faults to inject.
//!
//! `wxgate sandbox` serves it, and `GET /sandbox` there explains the control API; tests in the same process use a [`Sandbox`]
//! directly. It uses only these parts of the gateway: secrets, names, picture kinds, domain rules, page URLs and the signature.
//!
//! What WeChat does not document is implemented as follows:
//! - `force_refresh` too soon or too often returns the current token, as it would without `force_refresh`.
//! - A stable token that is renewed in its last minutes stays valid for the rest of them, next to the new one.
//! - A ticket is replaced after its TTL and verifies for twice as long; its `expires_in` never decreases; it does not
//!   depend on any access token.
//! - Only the two token calls check the caller's address.
//! - Days and months begin at midnight in China.
//!
//! From the bottom up: `clock`, `tokens`, `media` and `account` are the state machines; `wechat` answers calls with them;
//! `fault` and `active_rules` decide what goes wrong; `exchange` combines both; `answer` and `connection` send the
//! answer; `handle` is the API for tests; `phone` and `control` are the sandbox's own routes.

mod account;
mod active_rules;
mod answer;
mod api;
mod clock;
mod config;
mod connection;
mod control;
mod errmsg;
mod exchange;
mod fault;
mod handle;
mod media;
mod phone;
mod random;
mod request;
mod state;
mod tokens;
mod verify;
mod wechat;

pub use answer::End;
pub use api::Api;
pub use config::{SandboxAccount, SandboxConfig};
pub use fault::{Fault, Rule};
pub use handle::{Sandbox, UnknownAccount};
pub use media::Upload;
pub use state::CallRecord;
pub use tokens::{Kill, TokenKind};
pub use verify::ConfigResult;
