//! Certificates that are not accepted, in plain words: what is wrong, and what to do about it.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::CertificateError;

/// What is wrong with a certificate, and what an operator can do.
type Problem = (&'static str, &'static str);

const UNTRUSTED: Problem = (
    "the server's certificate is not trusted: its authority is not among the system's",
    "name that authority's certificate in http_client.ca_file",
);
const EXPIRED: Problem = (
    "the server's certificate has expired",
    "have it renewed at that server; is this machine's clock right?",
);
const NOT_YET_VALID: Problem = (
    "the server's certificate is not valid yet",
    "is this machine's clock right?",
);
const ANOTHER_NAME: Problem = (
    "the server's certificate is for another name",
    "use a name in the settings that the certificate is for, or have one made for this name",
);
const AUTHORITYS_OWN: Problem = (
    "the server's certificate is an authority's own, as self-signed ones are",
    "have the server use one that was issued for its name, and name the authority's certificate in http_client.ca_file",
);
const OTHER: Problem = (
    "the server's certificate is not accepted",
    "have a certificate made for that server that other programs accept",
);

const ALL: [Problem; 6] = [UNTRUSTED, EXPIRED, NOT_YET_VALID, ANOTHER_NAME, AUTHORITYS_OWN, OTHER];

/// What is wrong with the certificate that `error` is about, if it is about one, and what to do.
pub fn certificate_problem(error: &(dyn Error + 'static)) -> Option<String> {
    let problem = chain(error).find_map(|error| match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(problem)) => Some(problem),
        _ => None,
    })?;
    let ((wrong, cure), detail) = match problem {
        CertificateError::UnknownIssuer => (UNTRUSTED, None),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (EXPIRED, None),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (NOT_YET_VALID, None),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (ANOTHER_NAME, None),
        // rustls has no name for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (AUTHORITYS_OWN, None),
        other => (OTHER, Some(format!(" ({other})"))),
    };
    Some(format!("{wrong}{}; {cure}", detail.unwrap_or_default()))
}

/// What to do about a failure, if its text has come from [`certificate_problem`]: texts pass through the errors of
/// other modules.
#[must_use]
pub fn certificate_cure(text: &str) -> Option<&'static str> {
    let problem = ALL.iter().find(|(wrong, _)| text.contains(wrong))?;
    Some(problem.1)
}

/// `error` and what has caused it, in turn.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `source()` of an io::Error skips the error that it wraps, and that of a shared error, which the Redis client
        // has, skips the error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        let inner = wrapped.map(|inner| inner as &(dyn Error + 'static));
        let inner = inner.or_else(|| shared.map(|shared| &**shared as &(dyn Error + 'static)));
        inner.or_else(|| error.source())
    })
}
