//! WeChat's API as types: one client, a function per call, and what each `errcode` means.

mod client;
mod errcode;
mod error;
mod media;

pub use client::WeChatClient;
pub use errcode::{ErrCode, Meaning};
pub use error::{BodyProblem, CallError};
pub use media::{MediaDownload, MediaId};
