//! WeChat's API as types: one client, a function per call, and what each `errcode` means.

mod answer;
mod client;
mod cure;
mod errcode;
mod error;
mod forward;
mod media;
mod media_id;
mod metrics;
mod refused_addresses;

pub use client::{Issued, MAX_CREDENTIAL, WeChatClient};
pub use errcode::{ErrCode, Meaning};
pub use error::{BodyProblem, CallError, what_to_do};
pub use forward::{ApiPath, CallBody, CallHead};
pub use media::{MediaDownload, TokenRejection};
pub use media_id::MediaId;
pub use metrics::WeChatMetrics;
pub use refused_addresses::{ChangingWayOut, RefusedAddresses};
