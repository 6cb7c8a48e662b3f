//! Errors of requests, without their URLs.

use std::error::Error;

use super::certificate::{certificate_problem, chain};

/// Why a client can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The proxy's URL can't be used. It is not shown, since it may contain a password.
    #[error("the proxy's URL can't be used")]
    Proxy,
    /// A variable of the environment that names a proxy can't be used; its value may hold a password.
    #[error("{0} in the environment is not a proxy's URL; correct it, or set http_client.proxy")]
    Environment(&'static str),
    /// The file of certificate authorities can't be used.
    #[error("{0}")]
    CaFile(String),
    /// TLS can't be set up.
    #[error("no HTTP client: {0}")]
    Tls(String),
}

impl BuildError {
    pub(super) fn of(error: reqwest::Error) -> Self {
        Self::Tls(cause(&error.without_url()))
    }

    /// The setting to look at.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Proxy | Self::Environment(_) => "http_client.proxy",
            Self::CaFile(_) => "http_client.ca_file",
            Self::Tls(_) => "http_client",
        }
    }
}

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

/// The root cause of an error, which contains no URL. A certificate that is not accepted is explained.
#[must_use]
pub fn cause(error: &(dyn Error + 'static)) -> String {
    match certificate_problem(error) {
        Some((wrong, cure)) => format!("{wrong}; {cure}"),
        None => chain(error).last().unwrap_or(error).to_string(),
    }
}
