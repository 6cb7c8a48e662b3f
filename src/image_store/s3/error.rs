//! Maps errors of `object_store` to failures of the store.

use std::error::Error;

use http::StatusCode;
use object_store::client::{HttpError, HttpErrorKind};

use crate::http_client;
use crate::image_store::StoreFailure;

/// S3 answered with a redirect, which is not followed: a signature is valid only for one address and region.
#[derive(Debug, thiserror::Error)]
#[error("HTTP status {status}")]
pub(super) struct Redirect {
    pub(super) status: StatusCode,
    /// The bucket's region, if the answer names it.
    pub(super) region: Option<String>,
}

/// Error codes of S3 that call for a retry, whatever the status. `NoSuchUpload` means that S3 has lost the upload, or
/// that it is complete but the answer that said so was lost.
const PASSING: [&str; 5] = [
    "RequestTimeout",
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "NoSuchUpload",
];

/// Maps an error of `object_store` to a failure, without anything that could be secret.
pub(super) fn failed(error: &object_store::Error) -> StoreFailure {
    let mut chain = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    let Some(error) = chain.find_map(|error| error.downcast_ref::<HttpError>()) else {
        return answer(&error.to_string());
    };
    match error.source().and_then(|source| source.downcast_ref::<Redirect>()) {
        Some(redirect) => {
            let advice = match &redirect.region {
                Some(region) => wrong_region(region),
                None => "look at image_store.s3.endpoint and region".to_owned(),
            };
            StoreFailure::Refused(format!("{redirect}, a redirect to another address; {advice}"))
        }
        None if error.kind() == HttpErrorKind::Timeout => StoreFailure::TimedOut,
        None => StoreFailure::Broken(http_client::cause(error)),
    }
}

fn wrong_region(region: &str) -> String {
    format!("the bucket is in the region {region}: set image_store.s3.region to it, and an endpoint of that region")
}

/// The status, the error code and the region of S3's answer. The rest of it repeats the request, including the access key
/// id, and must not reach the log.
fn answer(text: &str) -> StoreFailure {
    let status = between(text, "status code: ", ":");
    let code = between(text, "<Code>", "</Code>").filter(|code| is_word(code));
    let mut what = match (status, code) {
        (Some(status), Some(code)) => format!("HTTP status {status}, {code}"),
        (Some(status), None) => format!("HTTP status {status}"),
        (None, Some(code)) => code.to_owned(),
        (None, None) => "the response is not an S3 response".to_owned(),
    };
    if let Some(region) = region_in(text) {
        what = format!("{what}; {}", wrong_region(region));
    }
    if code.is_some_and(|code| PASSING.contains(&code)) {
        return StoreFailure::Broken(what);
    }
    let number = status.and_then(|status| status.split(' ').next()?.parse().ok());
    StoreFailure::answered(number.unwrap_or(StatusCode::OK), what)
}

/// The region that S3 names in an answer.
pub(super) fn region_in(text: &str) -> Option<&str> {
    between(text, "<Region>", "</Region>").filter(|region| is_word(region))
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// True if `text` looks like a code or a region, so that it is safe to log.
fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_that_is_gone_is_worth_another_attempt() {
        let with = |code: &str| {
            answer(&format!(
                "status code: 404 Not Found: <Error><Code>{code}</Code></Error>"
            ))
        };
        assert!(with("NoSuchUpload").is_transient());
        assert!(!with("NoSuchBucket").is_transient());
    }
}
