//! The JS-SDK signature: page URL, nonce, SHA-1. Pure functions, no I/O.

mod domain;
pub(crate) mod explain;
mod page_url;
mod signature;

pub use domain::JsDomain;
pub use page_url::{PageUrl, QueryParams, UrlProblem, printable};
pub use signature::{random_nonce, sign, string1};
