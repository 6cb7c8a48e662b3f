//! `[image_store]`: the store in use.

mod http;
mod s3;

pub use http::HttpStore;
pub use s3::{AccessKeys, S3Store};

use super::alone;
use crate::settings::problem::Problems;
use crate::settings::sections::{self, ImageStoreBackend, LocalStore};
use crate::settings::validate::findings::Findings;

/// What the paths of the gateway's own routes begin with.
const OWN_ROUTES: [&str; 6] = ["wechat", "p", "healthz", "readyz", "docs", "openapi.json"];

/// Where pictures go.
#[derive(Clone)]
pub enum ImageStore {
    /// A folder.
    Local(LocalStore),
    /// An upload service.
    Http(Box<HttpStore>),
    /// An S3-compatible store.
    S3(Box<S3Store>),
}

pub(super) fn resolve(store: &sections::ImageStore, findings: &mut Findings) -> Option<ImageStore> {
    Some(match store.backend {
        ImageStoreBackend::Local => ImageStore::Local(local(&store.local, findings)),
        ImageStoreBackend::Http => ImageStore::Http(Box::new(http::resolve(&store.http, findings)?)),
        ImageStoreBackend::S3 => ImageStore::S3(Box::new(s3::resolve(&store.s3, findings)?)),
    })
}

fn local(local: &LocalStore, findings: &mut Findings) -> LocalStore {
    let first = local.public_base_url.path().split('/').nth(1).unwrap_or_default();
    let keys = ["image_store.local.public_base_url", "image_store.backend"];
    let text = format!("/{first} belongs to the gateway's own routes; expected another path such as \"/images\"");
    findings.require(!OWN_ROUTES.contains(&first), &keys, text);
    let named = !local.directory.as_os_str().is_empty();
    let keys = ["image_store.local.directory", "image_store.backend"];
    findings.require(named, &keys, "missing: image_store.backend \"local\" needs a folder");
    local.clone()
}

/// Requires a key of the store in use.
fn needs(findings: &mut Findings, key: &str, present: bool, what: &str) {
    let backend = key.split('.').next().unwrap_or_default();
    let text = format!("missing: image_store.backend \"{backend}\" needs {what}");
    findings.require(present, &[&format!("image_store.{key}"), "image_store.backend"], text);
}

impl sections::ImageStore {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<ImageStore, Problems> {
        alone(|findings| resolve(self, findings))
    }
}

impl sections::HttpStore {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<HttpStore, Problems> {
        alone(|findings| http::resolve(self, findings))
    }
}

impl sections::S3Store {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<S3Store, Problems> {
        alone(|findings| s3::resolve(self, findings))
    }
}
