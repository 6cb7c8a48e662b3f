//! Errors of requests, without their URLs.

use std::error::Error;

use super::certificate::{certificate_problem, chain};

/// How a request failed before its answer began. No text contains a URL.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be made; the request was not sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or the request could not be sent as it is.
    #[error("{0}")]
    Broken(String),
    /// The answer did not begin in time.
    #[error("no answer in time")]
    TimedOut,
}

impl SendError {
    pub(super) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Connect(cause(&error))
        } else {
            Self::Broken(cause(&error))
        }
    }
}

/// How a body failed to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// It ended early.
    CutOff,
    /// No chunk of it came in time.
    Stalled,
}

/// The root cause of an error, which contains no URL. A certificate that is not accepted is explained.
#[must_use]
pub fn cause(error: &(dyn Error + 'static)) -> String {
    match certificate_problem(error) {
        Some((wrong, cure)) => format!("{wrong}; {cure}"),
        None => chain(error).last().unwrap_or(error).to_string(),
    }
}
