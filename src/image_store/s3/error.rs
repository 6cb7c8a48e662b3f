//! Errors of `object_store` as failures of the store.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

use crate::http_client;
use crate::image_store::StoreFailure;

/// What an error of `object_store` means, without what could be secret.
pub(super) fn failed(error: &object_store::Error) -> StoreFailure {
    let mut chain = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    match chain.find_map(|error| error.downcast_ref::<HttpError>()) {
        Some(error) if error.kind() == HttpErrorKind::Timeout => StoreFailure::TimedOut,
        Some(error) => StoreFailure::Broken(http_client::cause(error)),
        None => StoreFailure::Refused(answer(&error.to_string())),
    }
}

/// The status and the error code of S3's answer. The rest of it repeats the request, the access key's id
/// included, and must not reach the log.
fn answer(text: &str) -> String {
    let between = |before, after| Some(text.split_once(before)?.1.split_once(after)?.0);
    let status = between("status code: ", ":");
    let code = between("<Code>", "</Code>");
    match (status, code) {
        (Some(status), Some(code)) => format!("HTTP status {status}, {code}"),
        (Some(status), None) => format!("HTTP status {status}"),
        _ => "with an answer that is not S3's".to_owned(),
    }
}
