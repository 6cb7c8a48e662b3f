//! The account's one `access_token` and its tickets: shared by the whole cluster, renewed before they expire, replaced
//! if WeChat rejects them.
//!
//! A request reads a `Credential` with one atomic load. Renewals are tasks of their own; a request waits for one only
//! if there is no credential, or WeChat rejects the token. From the bottom up, each file or folder using only those
//! above it:
//!
//! - `credential`: one token or ticket, and the types that all the others use
//! - `journal/`, `report`: log, journal and metrics
//! - `parameters`: what an account's credentials are made from, WeChat included
//! - `held_lock`: the lock of an account while this replica holds it
//! - `slot/`: one token or ticket: what is in use, what was in use before (`history`), what the replicas share
//!   (`shared_entry`)
//! - `lock`, `renewal`: which replica renews; what both kinds of renewal have in common, back-off included
//! - `token/`: how a token is obtained and counted (`call`), lent and replaced
//! - `ticket`: how a ticket is obtained
//! - `probe`: whether a token that a client suspects is really dead
//! - `remembered`: what this replica remembers about tokens that other systems hold
//! - `account`: the API for the rest of the gateway; `hand_out`: the part of it about tokens that other systems hold
//! - `refresher`: the background task for an account

mod account;
mod credential;
mod hand_out;
mod held_lock;
mod journal;
mod lock;
mod parameters;
mod probe;
mod refresher;
mod remembered;
mod renewal;
mod report;
#[cfg(test)]
mod simulation;
mod slot;
mod ticket;
mod token;

pub(crate) use account::{AccountCredentials, Status};
pub(crate) use credential::{Credential, Kind, Policy};
pub use credential::{TokenCallError, Unavailable};
pub(crate) use hand_out::Recognised;
pub(crate) use journal::{Event, Journal, JournalEntry};
pub(crate) use parameters::{Parameters, Services, WeChatIssuer};
pub(crate) use refresher::{keep_fresh, turns};
pub(crate) use remembered::UnknownTokens;
pub(crate) use report::{CredentialMetrics, Reports};
pub(crate) use slot::foreign_entry;
