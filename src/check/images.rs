//! Checks the image store: a tiny picture is written, read back and removed, as far as the store allows.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Finding, Options};
use crate::http_client::certificate_cure;
use crate::image_store::{self, ImageStore, Picture, StoreFailure};
use crate::picture::Kind;
use crate::settings::{Settings, resolved};

const CHECK: &str = "image_store";

/// The longest that a tiny picture may take; an upload service has a limit of its own.
const LIMIT: Duration = Duration::from_secs(15);

/// One black dot, a valid PNG: an upload service may check it.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\
    \x00\x00\x00\nIDATx\xdac`\x00\x00\x00\x02\x00\x01\xe5'\xde\xfc\x00\x00\x00\x00IEND\xaeB`\x82";

pub(super) async fn run(settings: &Settings, options: Options) -> Finding {
    let (http, settings) = (&settings.http_client, &settings.resolved.image_store);
    let tasks = TaskTracker::new();
    let failed = |error: String| {
        let cure = certificate_cure(&error).unwrap_or_else(|| cure(settings));
        Finding::failed(CHECK, error).cure(cure)
    };
    let store = match image_store::open(settings, http, &tasks) {
        Ok(open) => open.store,
        Err(error) => return failed(error.to_string()),
    };
    let limit = match settings {
        resolved::ImageStore::Http(service) => service.timeout,
        resolved::ImageStore::Local(_) | resolved::ImageStore::S3(_) => LIMIT,
    };
    let check = async {
        match settings {
            resolved::ImageStore::Http(_) => ask(&*store, options).await,
            resolved::ImageStore::Local(_) | resolved::ImageStore::S3(_) => write_read_delete(&*store).await,
        }
    };
    let outcome = timeout(limit, check).await.unwrap_or(Err(StoreFailure::TimedOut));
    // Wait for what an interrupted store cleans up.
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

/// The store's place, for people. Must not contain credentials.
fn place(settings: &resolved::ImageStore) -> String {
    match settings {
        resolved::ImageStore::Local(local) => format!("the folder {}", local.directory.display()),
        resolved::ImageStore::Http(service) => {
            format!("the upload service at {}", service.url.host_str().unwrap_or_default())
        }
        resolved::ImageStore::S3(s3) => format!("the bucket {}", s3.bucket),
    }
}

fn cure(settings: &resolved::ImageStore) -> &'static str {
    match settings {
        resolved::ImageStore::Local(_) => {
            "make image_store.local.directory a folder that the gateway's user may write to, with room left on its disk"
        }
        resolved::ImageStore::Http(_) => {
            "is the service up, and does it take image_store.http.headers, field, success_pointer and url_pointer as they are?"
        }
        resolved::ImageStore::S3(_) => {
            "look at image_store.s3: endpoint, region, bucket, path_style, and whether the key may put objects there"
        }
    }
}

/// Whether an upload service answers. It keeps whatever it is given, so nothing is posted unless asked for.
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

async fn write_read_delete(store: &dyn ImageStore) -> Result<Finding, StoreFailure> {
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
        .cure("nothing, if the key is meant to write only"),
    })
}

fn dot() -> Picture {
    Picture {
        kind: Kind::Png,
        length: u64::try_from(DOT.len()).ok(),
        body: stream::iter([Ok(Bytes::from_static(DOT))]).boxed(),
    }
}
