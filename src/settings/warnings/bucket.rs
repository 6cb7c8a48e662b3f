//! An S3 endpoint that already has the bucket in it.

use crate::settings::{ImageStoreBackend, S3Store, Settings};

/// What is wrong if the bucket is named twice: objects would get keys that begin with its name, and the URLs that
/// are answered would lead nowhere.
pub(super) fn warning(settings: &Settings) -> Option<String> {
    let store = &settings.image_store;
    if store.backend != ImageStoreBackend::S3 || store.s3.bucket_endpoint {
        return None;
    }
    let S3Store { bucket, .. } = &store.s3;
    let endpoint = store.s3.endpoint.as_ref()?;
    let host = endpoint.host_str()?;
    let in_host = host
        .strip_prefix(bucket.as_str())
        .is_some_and(|rest| rest.starts_with('.'));
    let in_path = endpoint.path().trim_end_matches('/').rsplit('/').next() == Some(bucket);
    (!bucket.is_empty() && (in_host || in_path)).then(|| {
        let place = if in_host { "begins" } else { "ends" };
        format!(
            "image_store.s3.endpoint {place} with the bucket's name ({bucket}), and the bucket is added to it once more, so that \
             the URLs of pictures lead nowhere; if it is the bucket's own address, set image_store.s3.bucket_endpoint = true, else \
             use the address of the store itself"
        )
    })
}
