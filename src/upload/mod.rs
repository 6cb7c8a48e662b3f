//! Photos from WeChat into the image store: download, check, store, remember.
//!
//! An upload is a pipe: WeChat's bytes are passed on to the store as they arrive, checked on the way and never collected.
//! [`MediaRelay`] (`uploader`) starts it as a task of its own, so a caller that hangs up does not lose the photo, and
//! callers that ask for the same photo meanwhile share the result. `check` is the stream in between, and `once` the lease
//! and the remembered URL that the replicas share.

mod check;
mod once;
mod outcome;
mod uploader;

pub use outcome::{Rejection, UploadError, UploadMetrics};
pub use uploader::{MediaRelay, MediaSource, RelayParts, WeChatMedia};
