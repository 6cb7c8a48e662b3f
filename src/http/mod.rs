//! How requests get in: the server and the layers that both listeners share, and the routes of each.
//!
//! Both listeners speak HTTP/1.1. [`serve`] accepts connections, [`middleware`] builds the one stack of layers
//! around all routes, [`public`] and [`internal`] hold the routes.

mod client_address;
mod code;
mod envelope;
pub mod internal;
mod metrics;
pub mod middleware;
pub mod public;
mod request_id;
pub mod serve;

pub use client_address::Client;
#[cfg(any(test, doc, fuzzing))]
pub(crate) use client_address::client_address;
pub use code::Code;
pub use envelope::{ApiError, Envelope, X_REQUEST_ID};
pub use metrics::HttpMetrics;
pub use request_id::RequestId;
