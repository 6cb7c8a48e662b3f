//! WeChat's API as types: one client, a function per call, and what each `errcode` means.

mod answer;
mod client;
mod errcode;
mod error;
mod forward;
mod hosts;
mod media;

pub(crate) use answer::begins_as_json;
pub(crate) use client::MEDIA_PATH;
pub use client::{Issued, MAX_CREDENTIAL, WeChatClient, WeChatMetrics};
pub use errcode::{ErrCode, Meaning};
pub use error::{BodyProblem, CHANGING_ADDRESS, CallError, RefusedAddresses, what_to_do};
pub use forward::{ApiPath, CallBody, CallHead};
pub use media::{MediaDownload, MediaId, TokenRejection};
