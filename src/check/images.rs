//! The image store: a tiny picture is written, read back and removed, as far as the store lets us.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Finding, Options};
use crate::image_store::{self, ImageStore, Picture, StoreFailure};
use crate::picture::Kind;
use crate::settings::{self, ImageStoreBackend, Settings};

const CHECK: &str = "image_store";

/// The longest that a tiny picture may take; an upload service has a limit of its own.
const LIMIT: Duration = Duration::from_secs(15);

/// One black dot, whole and valid: an upload service may well look.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\
    \x00\x00\x00\nIDATx\xdac`\x00\x00\x00\x02\x00\x01\xe5'\xde\xfc\x00\x00\x00\x00IEND\xaeB`\x82";

pub(super) async fn look(settings: &Settings, options: Options) -> Finding {
    let (settings, http) = (&settings.image_store, &settings.http_client);
    let tasks = TaskTracker::new();
    let failed = |error: String| Finding::failed(CHECK, error).cure(cure(settings.backend));
    let store = match image_store::open(settings, http, &tasks) {
        Ok(open) => open.store,
        Err(error) => return failed(error.to_string()),
    };
    let limit = match settings.backend {
        ImageStoreBackend::Http => settings.http.timeout,
        ImageStoreBackend::Local | ImageStoreBackend::S3 => LIMIT,
    };
    let look = async {
        match settings.backend {
            ImageStoreBackend::Http => ask(&*store, options).await,
            ImageStoreBackend::Local | ImageStoreBackend::S3 => rehearse(&*store).await,
        }
    };
    let outcome = timeout(limit, look).await.unwrap_or(Err(StoreFailure::TimedOut));
    // What a store takes back after it was interrupted.
    tasks.close();
    let _ = timeout(Duration::from_secs(2), tasks.wait()).await;
    let place = place(settings);
    match outcome {
        Ok(finding) => Finding {
            message: format!("{place} {}", finding.message),
            ..finding
        },
        Err(error) => failed(format!("{place}: {error}")),
    }
}

/// What the store is, for people. It may have a password in it nowhere.
fn place(settings: &settings::ImageStore) -> String {
    match settings.backend {
        ImageStoreBackend::Local => format!("the folder {}", settings.local.directory.display()),
        ImageStoreBackend::Http => {
            let host = settings.http.url.as_ref().and_then(|url| url.host_str());
            format!("the upload service at {}", host.unwrap_or_default())
        }
        ImageStoreBackend::S3 => format!("the bucket {}", settings.s3.bucket),
    }
}

fn cure(backend: ImageStoreBackend) -> &'static str {
    match backend {
        ImageStoreBackend::Local => {
            "make image_store.local.directory a folder that the gateway's user may write to, with room left on its disk"
        }
        ImageStoreBackend::Http => {
            "is the service up, and does it take image_store.http.headers, field, success_pointer and url_pointer as they are?"
        }
        ImageStoreBackend::S3 => {
            "look at image_store.s3: endpoint, region, bucket, path_style, and whether the key may put objects there"
        }
    }
}

/// Asks an upload service, which keeps whatever it is given, whether it is there.
async fn ask(store: &dyn ImageStore, options: Options) -> Result<Finding, StoreFailure> {
    if options.upload {
        let url = store.put(dot()).await?;
        return Ok(Finding::ok(
            CHECK,
            format!("has taken a tiny picture, which stays there: {url}"),
        ));
    }
    store.probe().await?;
    let message = "answers; no picture was posted, for it could not be removed again (--upload posts one)";
    Ok(Finding::ok(CHECK, message))
}

async fn rehearse(store: &dyn ImageStore) -> Result<Finding, StoreFailure> {
    let url = store.put(dot()).await?;
    Ok(match store.take_back(&url).await {
        Ok(Some(bytes)) if bytes == DOT => {
            Finding::ok(CHECK, "has taken a tiny picture; it was read back and removed again")
        }
        Ok(Some(_)) => Finding::failed(CHECK, "gives back other bytes than it has taken"),
        Ok(None) => Finding::warning(CHECK, format!("has taken a tiny picture, which stays there: {url}")),
        // The gateway itself only writes.
        Err(error) => Finding::warning(
            CHECK,
            format!("has taken a tiny picture, which could not be read back and removed ({error}): {url}"),
        )
        .cure("nothing, where the key is meant to write only"),
    })
}

fn dot() -> Picture {
    Picture {
        kind: Kind::Png,
        length: u64::try_from(DOT.len()).ok(),
        body: stream::iter([Ok(Bytes::from_static(DOT))]).boxed(),
    }
}
