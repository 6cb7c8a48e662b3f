//! `[image_store]`: the store in use.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use object_store::path::Path;
use url::Url;

use super::alone;
use crate::secret::Secret;
use crate::settings::problem::Problems;
use crate::settings::sections::{self, ImageStoreBackend, LocalStore};
use crate::settings::validate::findings::Findings;
use crate::settings::values::{BasePath, JsonPointer, Scalar};

/// What the paths of the gateway's own routes begin with.
const OWN_ROUTES: [&str; 6] = ["wechat", "p", "healthz", "readyz", "docs", "openapi.json"];

/// Headers that describe the request's body, which the image store's client writes itself.
const BODY_HEADERS: [&str; 3] = ["content-type", "content-length", "transfer-encoding"];

/// Where pictures go.
#[derive(Clone)]
pub enum ImageStore {
    /// A folder.
    Local(LocalStore),
    /// An upload service.
    Http(HttpStore),
    /// An S3-compatible store.
    S3(S3Store),
}

/// An upload service that takes multipart/form-data and answers JSON.
#[derive(Clone)]
pub struct HttpStore {
    /// Where pictures are posted.
    pub url: Url,
    /// The name of the file's form field.
    pub field: String,
    /// Headers sent along, marked as sensitive so that their values are not printed.
    pub headers: HeaderMap,
    /// Where the answer reports success; if it is empty, only the status counts.
    pub success_pointer: JsonPointer,
    /// What the answer has there on success.
    pub success_value: Scalar,
    /// Where the answer has the picture's URL.
    pub url_pointer: JsonPointer,
    /// The longest one upload may take.
    pub timeout: Duration,
    /// How often a picture is tried, each time with a fresh download.
    pub attempts: u32,
}

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    /// The store's address, if it is not AWS; without `path_style` its host begins with the bucket.
    pub endpoint: Option<Url>,
    /// The region that requests are signed for.
    pub region: String,
    /// Its name.
    pub bucket: String,
    /// What every object's key begins with; a key once a name is appended.
    pub prefix: String,
    /// The keys to sign with; without them the machine's role is used.
    pub keys: Option<AccessKeys>,
    /// Whether the bucket is in the path rather than in the host name.
    pub path_style: bool,
    /// The returned URL is this plus the object's key.
    pub public_base_url: Url,
}

/// What requests to S3 are signed with.
#[derive(Clone)]
pub struct AccessKeys {
    /// Access key id.
    pub id: Secret,
    /// Secret access key.
    pub secret: Secret,
}

pub(super) fn resolve(
    store: &sections::ImageStore,
    base_path: &BasePath,
    findings: &mut Findings,
) -> Option<ImageStore> {
    Some(match store.backend {
        ImageStoreBackend::Local => ImageStore::Local(local(&store.local, base_path, findings)),
        ImageStoreBackend::Http => ImageStore::Http(http(&store.http, findings)?),
        ImageStoreBackend::S3 => ImageStore::S3(s3(&store.s3, findings)?),
    })
}

fn local(local: &LocalStore, base_path: &BasePath, findings: &mut Findings) -> LocalStore {
    let path = local.public_base_url.path();
    let route = base_path.rest_of(path).unwrap_or(path);
    let first = route.split('/').nth(1).unwrap_or_default();
    let keys = ["image_store.local.public_base_url", "image_store.backend"];
    let text = format!("/{first} belongs to the gateway's own routes; expected another path such as \"/images\"");
    findings.require(!OWN_ROUTES.contains(&first), &keys, text);
    let named = !local.directory.as_os_str().is_empty();
    let keys = ["image_store.local.directory", "image_store.backend"];
    findings.require(named, &keys, "missing: image_store.backend \"local\" needs a folder");
    LocalStore {
        public_base_url: local.public_base_url.below(base_path),
        ..local.clone()
    }
}

fn http(http: &sections::HttpStore, findings: &mut Findings) -> Option<HttpStore> {
    let pointed = !http.url_pointer.is_empty();
    needs(
        findings,
        "http.url",
        http.url.is_some(),
        "the address to post pictures to",
    );
    needs(
        findings,
        "http.url_pointer",
        pointed,
        "the location of the picture's URL in the answer",
    );
    needs(
        findings,
        "http.field",
        !http.field.is_empty(),
        "the name of the file's form field",
    );
    let text = "expected a number from 1 to 10";
    findings.require((1..=10).contains(&http.attempts), &["image_store.http.attempts"], text);
    let headers = headers(http, findings);
    Some(HttpStore {
        url: http.url.clone()?,
        field: http.field.clone(),
        headers,
        success_pointer: http.success_pointer.clone(),
        success_value: http.success_value.clone(),
        url_pointer: http.url_pointer.clone(),
        timeout: http.timeout,
        attempts: http.attempts,
    })
}

fn headers(http: &sections::HttpStore, findings: &mut Findings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let key = format!("image_store.http.headers.{name}");
        let header = HeaderName::from_bytes(name.as_bytes());
        findings.require(
            header.is_ok(),
            &[&key],
            "expected a header's name, such as Authorization",
        );
        let own = BODY_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        let text = "this header can't be set: it describes the body, which differs from picture to picture";
        findings.require(!own, &[&key], text);
        let value = HeaderValue::from_str(value.expose());
        let text = "expected a header's value, one line of text (it is not shown, it may be secret)";
        findings.require(value.is_ok(), &[&key], text);
        if let (Ok(header), Ok(mut value)) = (header, value) {
            value.set_sensitive(true);
            headers.insert(header, value);
        }
    }
    headers
}

fn s3(s3: &sections::S3Store, findings: &mut Findings) -> Option<S3Store> {
    let based = s3.public_base_url.is_some();
    needs(findings, "s3.bucket", !s3.bucket.trim().is_empty(), "a bucket");
    needs(findings, "s3.region", !s3.region.trim().is_empty(), "a region");
    needs(
        findings,
        "s3.public_base_url",
        based,
        "the address that pictures are read from",
    );
    let text = "expected the beginning of a key, such as \"h5/\": no empty part, no \".\" or \"..\"";
    findings.require(Path::parse(&s3.prefix).is_ok(), &["image_store.s3.prefix"], text);
    let keys = keys(s3, findings);
    let endpoint = match &s3.endpoint {
        Some(endpoint) if !s3.path_style => {
            let host = bucket_host(endpoint, &s3.bucket);
            let keys = [
                "image_store.s3.path_style",
                "image_store.s3.endpoint",
                "image_store.s3.bucket",
            ];
            let text = "false needs an endpoint whose host is a name, and a bucket that can be a part of it";
            findings.require(host.is_some(), &keys, text);
            Some(host?)
        }
        endpoint => endpoint.clone(),
    };
    Some(S3Store {
        endpoint,
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        keys,
        path_style: s3.path_style,
        public_base_url: s3.public_base_url.clone()?,
    })
}

fn keys(s3: &sections::S3Store, findings: &mut Findings) -> Option<AccessKeys> {
    let (id, secret) = (&s3.access_key_id, &s3.secret_access_key);
    for (missing, key, other) in [
        (
            id.is_blank() && !secret.is_blank(),
            "access_key_id",
            "secret_access_key",
        ),
        (
            secret.is_blank() && !id.is_blank(),
            "secret_access_key",
            "access_key_id",
        ),
    ] {
        let text = format!("missing: image_store.s3.{other} is set; set both, or neither to use the machine's role");
        let keys = [format!("image_store.s3.{key}"), format!("image_store.s3.{other}")];
        findings.require(!missing, &[&keys[0], &keys[1]], text);
    }
    (!id.is_blank() && !secret.is_blank()).then(|| AccessKeys {
        id: id.clone(),
        secret: secret.clone(),
    })
}

/// `endpoint` with the bucket before its host, as virtual-hosted requests need it.
fn bucket_host(endpoint: &Url, bucket: &str) -> Option<Url> {
    let host = endpoint.domain()?;
    let mut url = endpoint.clone();
    url.set_host(Some(&format!("{bucket}.{host}"))).ok()?;
    Some(url)
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
        alone(|findings| resolve(self, &BasePath::default(), findings))
    }
}

impl sections::HttpStore {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<HttpStore, Problems> {
        alone(|findings| http(self, findings))
    }
}

impl sections::S3Store {
    /// Resolves this section without the others.
    pub fn resolve(&self) -> Result<S3Store, Problems> {
        alone(|findings| s3(self, findings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_never_printed() {
        let settings = sections::HttpStore {
            url: Some(Url::parse("http://files/up").unwrap()),
            headers: [("X-Key".to_owned(), Secret::new("hunter2"))].into(),
            ..Default::default()
        };
        let headers = settings.resolve().unwrap().headers;
        assert_eq!(headers["x-key"], "hunter2");
        assert_eq!(format!("{headers:?}"), r#"{"x-key": Sensitive}"#);
    }
}
