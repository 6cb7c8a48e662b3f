//! Checks the image store: writes a tiny picture, reads it back as pages would, and removes it, as far as the store
//! supports that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{CheckState, Finding};
use crate::http_client::{self, certificate_cure};
use crate::image_store::{self, ImageStore, Picture, StoreFailure};
use crate::picture::PictureKind;
use crate::settings::{self, Settings, resolved};

const CHECK: &str = "image_store";

/// The time limit for a tiny picture; an upload service has its own limit.
const LIMIT: Duration = Duration::from_secs(15);

/// The time limit for fetching it from its public address; the rest of [`LIMIT`] is for its removal.
const PUBLIC_LIMIT: Duration = Duration::from_secs(5);

/// One black dot, a valid PNG: an upload service may check it.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\
    \x00\x00\x00\nIDATx\xdac`\x00\x00\x00\x02\x00\x01\xe5'\xde\xfc\x00\x00\x00\x00IEND\xaeB`\x82";

pub(super) async fn run(settings: &Settings, upload: bool) -> Vec<Finding> {
    let resolved::ImageStore::Local(local) = &settings.resolved.image_store else {
        return try_store(settings, upload).await;
    };
    let directory = local.directory.clone();
    let missing = spawn_blocking(move || missing_folders(&directory));
    let Ok(Ok(missing)) = timeout(LIMIT, missing).await else {
        let message = format!("{}: its disk does not respond", place(&settings.resolved.image_store));
        return vec![Finding::failed(CHECK, message).cure("check the disk, or the server that it is mounted from")];
    };
    let mut findings = try_store(settings, upload).await;
    let Some(folder) = missing.first().cloned() else {
        return findings;
    };
    // The gateway creates them itself, as its own user. A folder in which something was stored meanwhile stays.
    let remove = move || missing.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    let _ = timeout(LIMIT, spawn_blocking(remove)).await;
    if findings.iter().all(|finding| finding.state == CheckState::Ok) {
        let message = format!(
            "the folder {} does not exist; it was created only for a test picture",
            folder.display()
        );
        let cure =
            "no action needed before the first start, which creates it; if it holds pictures already, mount its disk";
        findings = vec![Finding::warning(CHECK, message).cure(cure)];
    }
    findings
}

/// `directory` and the folders around it that do not exist, the innermost first.
fn missing_folders(directory: &Path) -> Vec<PathBuf> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && matches!(folder.try_exists(), Ok(false));
    let missing = directory.ancestors().take_while(is_missing);
    missing.map(Path::to_owned).collect()
}

async fn try_store(settings: &Settings, upload: bool) -> Vec<Finding> {
    let (http, settings) = (&settings.http_client, &settings.resolved.image_store);
    let tasks = TaskTracker::new();
    let failed = |error: String| {
        let cure = certificate_cure(&error).unwrap_or_else(|| cure(settings));
        vec![Finding::failed(CHECK, error).cure(cure)]
    };
    let store = match image_store::open(settings, http, &tasks).await {
        Ok(open) => open.store,
        Err(error) => return failed(error.to_string()),
    };
    let limit = match settings {
        resolved::ImageStore::Http(service) => service.section.timeout,
        resolved::ImageStore::Local(_) | resolved::ImageStore::S3(_) => LIMIT,
    };
    let check = async {
        match settings {
            resolved::ImageStore::Http(_) => ask(&*store, upload).await,
            resolved::ImageStore::Local(_) => write_read_delete(&*store, None).await,
            resolved::ImageStore::S3(_) => write_read_delete(&*store, Some(http)).await,
        }
    };
    let outcome = timeout(limit, check).await.unwrap_or(Err(StoreFailure::TimedOut));
    // Waits for the clean-up of an interrupted put.
    tasks.close();
    let _ = timeout(Duration::from_secs(2), tasks.wait()).await;
    let place = place(settings);
    match outcome {
        Ok(mut findings) => {
            for finding in &mut findings {
                finding.message = format!("{place} {}", finding.message);
            }
            findings
        }
        Err(error) => failed(format!("{place}: {error}")),
    }
}

/// Where the store is, for people. Must not contain credentials.
fn place(settings: &resolved::ImageStore) -> String {
    match settings {
        resolved::ImageStore::Local(local) => format!("the folder {}", local.directory.display()),
        resolved::ImageStore::Http(service) => {
            format!("the upload service at {}", service.url.host_str().unwrap_or_default())
        }
        resolved::ImageStore::S3(s3) => format!("the bucket {}", s3.section.bucket),
    }
}

fn cure(settings: &resolved::ImageStore) -> &'static str {
    match settings {
        resolved::ImageStore::Local(_) => {
            "make image_store.local.directory a folder that the gateway's user can write to, with space left on its disk"
        }
        resolved::ImageStore::Http(_) => {
            "check that the service is up and matches image_store.http.headers, field, success_pointer and url_pointer"
        }
        resolved::ImageStore::S3(s3) if s3.section.keys().is_none() => {
            "set image_store.s3.access_key_id and secret_access_key, or give this machine, container or pod a role that may put \
             objects there (EC2, ECS, EKS)"
        }
        resolved::ImageStore::S3(_) => {
            "look at image_store.s3: endpoint, region, bucket, path_style, bucket_endpoint, acl, and whether the key may put \
             objects there"
        }
    }
}

/// Whether an upload service answers. It keeps what it is sent, so nothing is posted unless requested.
async fn ask(store: &dyn ImageStore, upload: bool) -> Result<Vec<Finding>, StoreFailure> {
    let message = if upload {
        let url = store.put(dot()).await?;
        format!("stored a test picture, which stays there: {url}")
    } else {
        store.probe().await?;
        "answers; no picture was posted, because it could not be removed (--upload posts one)".to_owned()
    };
    Ok(vec![Finding::ok(CHECK, message)])
}

/// Stores a tiny picture, fetches it from its public address if there is a client for that, and removes it.
async fn write_read_delete(
    store: &dyn ImageStore,
    http: Option<&settings::HttpClient>,
) -> Result<Vec<Finding>, StoreFailure> {
    let url = store.put(dot()).await?;
    let problem = match http {
        Some(http) => problem_at(&url, http).await,
        None => None,
    };
    let mut findings = vec![match store.take_back(&url).await {
        Ok(Some(bytes)) if bytes == DOT => Finding::ok(CHECK, "stored a test picture; it was read back and removed"),
        Ok(Some(_)) => Finding::failed(CHECK, "returns different bytes from those stored"),
        Ok(None) => Finding::warning(CHECK, format!("stored a test picture, which stays there: {url}")),
        // The gateway itself only writes.
        Err(error) => Finding::warning(
            CHECK,
            format!("stored a test picture, which could not be read back and removed ({error}): {url}"),
        )
        .cure("no action needed if the key is meant to be write-only"),
    }];
    findings.extend(problem.map(|problem| {
        let message = format!("stored a test picture, but pages can't read it at {url}: {problem}");
        let cure = if problem.starts_with("HTTP status 403") {
            "make the bucket's objects publicly readable, with a bucket policy or image_store.s3.acl = \"public-read\""
        } else {
            certificate_cure(&problem)
                .unwrap_or("set image_store.s3.public_base_url to the public address of the bucket's objects")
        };
        Finding::warning(CHECK, message).cure(cure)
    }));
    Ok(findings)
}

/// Why a browser would not see the tiny picture at `url`.
async fn problem_at(url: &str, http: &settings::HttpClient) -> Option<String> {
    let client = match http_client::build(http, PUBLIC_LIMIT) {
        Ok(client) => client,
        Err(error) => return Some(error.to_string()),
    };
    match http_client::get(&client, url, DOT.len(), PUBLIC_LIMIT).await {
        Ok(Some(bytes)) if bytes == DOT => None,
        Ok(_) => Some("different content is there".to_owned()),
        Err(problem) => Some(problem),
    }
}

fn dot() -> Picture {
    Picture {
        kind: PictureKind::Png,
        length: u64::try_from(DOT.len()).ok(),
        body: stream::iter([Ok(Bytes::from_static(DOT))]).boxed(),
    }
}
