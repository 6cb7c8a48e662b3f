//! Errors of requests, without their URLs.

use std::error::Error;
use std::io;

use rustls::CertificateError;

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
    let mut root = error;
    loop {
        if let Some(rustls::Error::InvalidCertificate(problem)) = root.downcast_ref() {
            return certificate(problem);
        }
        // `source()` of an io::Error skips the error that it wraps.
        let wrapped = root.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let next = wrapped
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| root.source());
        match next {
            Some(next) => root = next,
            None => return root.to_string(),
        }
    }
}

fn certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => "the server's certificate is not trusted: its authority is not among the \
                                            system's; name that authority's certificate in http_client.ca_file"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name".to_owned()
        }
        other => format!("the server's certificate is not accepted: {other}"),
    }
}
