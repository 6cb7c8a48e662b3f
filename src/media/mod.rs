//! Photos from WeChat into the image store: download, check, store, remember.
//!
//! An upload is a pipe: WeChat's bytes go through to the store as they arrive, checked on the way
//! and never gathered. It runs as a task of its own, so a caller that hangs up does not lose the
//! photo, and callers that ask for the same photo meanwhile share it: in this process through
//! `crate::single_flight`, across replicas through `once`.

mod checked;
mod error;
mod metrics;
mod once;
mod relay;
mod source;

pub use error::{Rejection, UploadError};
pub use metrics::UploadMetrics;
pub use relay::MediaRelay;
pub use source::{MediaSource, WeChatMedia};
