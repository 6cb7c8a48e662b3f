//! `[image_store]`: the store in use.

use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::path::Path;
use url::Url;

use crate::settings::problem::UnplacedProblems;
use crate::settings::sections::{self, ImageStoreBackend, LocalStore};
use crate::settings::values::{BasePath, UrlPlace};

/// The first path segments of the gateway's own routes.
const OWN_ROUTES: [&str; 6] = ["wechat", "p", "healthz", "readyz", "docs", "openapi.json"];

/// Headers that describe the request's body, which the image store's client sets itself.
const BODY_HEADERS: [&str; 3] = ["content-type", "content-length", "transfer-encoding"];

/// Where pictures are stored.
#[derive(Clone)]
pub enum ImageStore {
    /// A folder.
    Local(LocalStore),
    /// An upload service.
    Http(Box<HttpStore>),
    /// An S3-compatible store.
    S3(Box<S3Store>),
}

/// An upload service that takes multipart/form-data.
#[derive(Clone)]
pub struct HttpStore {
    /// Where pictures are posted.
    pub url: Url,
    /// Headers to send, marked as sensitive so that their values are not printed.
    pub headers: HeaderMap,
    /// The rest of the section.
    pub section: sections::HttpStore,
}

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    /// The store's address, if it is not AWS. It includes the bucket unless `path_style` is set.
    pub endpoint: Option<Url>,
    /// Whether the bucket's name goes into the path of each request.
    pub path_style: bool,
    /// The returned URL is this plus the object's key.
    pub public_base_url: Url,
    /// The rest of the section.
    pub section: sections::S3Store,
}

pub(in crate::settings) fn resolve(
    store: &sections::ImageStore,
    base_path: &BasePath,
    problems: &mut UnplacedProblems,
) -> Option<ImageStore> {
    Some(match store.backend {
        ImageStoreBackend::Local => ImageStore::Local(local(&store.local, base_path, problems)),
        ImageStoreBackend::Http => ImageStore::Http(Box::new(http(&store.http, problems)?)),
        ImageStoreBackend::S3 => ImageStore::S3(Box::new(s3(&store.s3, problems)?)),
    })
}

fn local(local: &LocalStore, base_path: &BasePath, problems: &mut UnplacedProblems) -> LocalStore {
    let route = local.public_base_url.route(base_path);
    let first = route.split('/').nth(1).unwrap_or_default();
    let keys = ["image_store.local.public_base_url", "image_store.backend"];
    let text = format!("/{first} belongs to the gateway's own routes; expected another path such as \"/images\"");
    problems.add_unless(!OWN_ROUTES.contains(&first), &keys, text);
    let keys = [
        "server.base_path",
        "image_store.local.public_base_url",
        "image_store.backend",
    ];
    let text = format!(
        "{route} is where the pictures are, so /healthz and the other routes below it would be taken for pictures; change this \
         path or image_store.local.public_base_url"
    );
    problems.add_unless(route != base_path.as_str(), &keys, text);
    let named = !local.directory.as_os_str().is_empty();
    let keys = ["image_store.local.directory", "image_store.backend"];
    problems.add_unless(named, &keys, "missing: image_store.backend \"local\" needs a folder");
    LocalStore {
        public_base_url: local.public_base_url.below(base_path),
        ..local.clone()
    }
}

/// Requires fields of the store in use: for each, its key, whether it is set, and what it is.
fn needs(problems: &mut UnplacedProblems, backend: &str, fields: [(&str, bool, &str); 3]) {
    for (key, present, what) in fields {
        let key = format!("image_store.{backend}.{key}");
        let text = format!("missing: image_store.backend \"{backend}\" needs {what}");
        problems.add_unless(present, &[&key, "image_store.backend"], text);
    }
}

fn http(http: &sections::HttpStore, problems: &mut UnplacedProblems) -> Option<HttpStore> {
    let pointed = !matches!(&http.url_pointer, UrlPlace::Json(pointer) if pointer.as_str().is_empty());
    let fields = [
        ("url", http.url.is_some(), "the address to post pictures to"),
        (
            "url_pointer",
            pointed,
            "the location of the picture's URL in the answer",
        ),
        ("field", !http.field.is_empty(), "the name of the file's form field"),
    ];
    needs(problems, "http", fields);
    let text = "expected a number from 1 to 10";
    problems.add_unless((1..=10).contains(&http.attempts), &["image_store.http.attempts"], text);
    let base = http.public_base_url.as_ref();
    let plain = base.is_none_or(|url| url.query().is_none() && url.fragment().is_none());
    let text = "expected a URL without `?` and `#`, since a path is appended to it";
    problems.add_unless(plain, &["image_store.http.public_base_url"], text);
    for name in http.fields.keys() {
        let key = format!("image_store.http.fields.{name}");
        problems.add_unless(!name.trim().is_empty(), &[&key], "expected a form field's name");
        let text = "image_store.http.field has the same name; the picture's field can't hold a text as well";
        problems.add_unless(*name != http.field, &[&key, "image_store.http.field"], text);
    }
    let headers = headers(http, problems);
    Some(HttpStore {
        url: http.url.clone()?,
        headers,
        section: http.clone(),
    })
}

fn headers(http: &sections::HttpStore, problems: &mut UnplacedProblems) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let key = format!("image_store.http.headers.{name}");
        let header = HeaderName::from_bytes(name.as_bytes());
        let text = "expected a header's name, such as Authorization";
        problems.add_unless(header.is_ok(), &[&key], text);
        let own = BODY_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        let text = "this header can't be set: it describes the body, which differs from picture to picture";
        problems.add_unless(!own, &[&key], text);
        let value = HeaderValue::from_str(value.expose());
        let text = "expected a header's value, one line of text (it is not shown, it may be secret)";
        problems.add_unless(value.is_ok(), &[&key], text);
        if let (Ok(header), Ok(mut value)) = (header, value) {
            value.set_sensitive(true);
            headers.insert(header, value);
        }
    }
    headers
}

fn s3(s3: &sections::S3Store, problems: &mut UnplacedProblems) -> Option<S3Store> {
    let based = s3.public_base_url.is_some();
    let fields = [
        ("bucket", !s3.bucket.trim().is_empty(), "a bucket"),
        ("region", !s3.region.trim().is_empty(), "a region"),
        ("public_base_url", based, "the address that pictures are read from"),
    ];
    needs(problems, "s3", fields);
    let in_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let named = s3.bucket.trim().is_empty() || s3.bucket.bytes().all(in_a_name);
    let text = "expected a bucket's name: ASCII letters, digits, \"-\", \".\" and \"_\"";
    problems.add_unless(named, &["image_store.s3.bucket"], text);
    let text = "expected the beginning of a key, such as \"h5/\": no empty part, no \".\" or \"..\"";
    problems.add_unless(Path::parse(&s3.prefix).is_ok(), &["image_store.s3.prefix"], text);
    let named = s3.acl.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let text = "expected the name of a canned ACL such as \"public-read\", or \"\" for none";
    problems.add_unless(named, &["image_store.s3.acl"], text);
    access_keys(s3, problems);
    Some(S3Store {
        endpoint: endpoint(s3, problems),
        path_style: s3.path_style && !s3.bucket_endpoint,
        public_base_url: s3.public_base_url.clone()?,
        section: s3.clone(),
    })
}

/// The address that requests are sent to, if it is not AWS.
fn endpoint(s3: &sections::S3Store, problems: &mut UnplacedProblems) -> Option<Url> {
    if s3.bucket_endpoint {
        let keys = ["image_store.s3.endpoint", "image_store.s3.bucket_endpoint"];
        let text = "missing: bucket_endpoint = true needs the bucket's own address";
        problems.add_unless(s3.endpoint.is_some(), &keys, text);
        return s3.endpoint.clone();
    }
    match &s3.endpoint {
        Some(endpoint) if !s3.path_style => {
            let host = bucket_host(endpoint, &s3.bucket);
            let keys = [
                "image_store.s3.path_style",
                "image_store.s3.endpoint",
                "image_store.s3.bucket",
            ];
            let text = "false needs an endpoint whose host is a name, and a bucket that can be a part of it";
            problems.add_unless(host.is_some(), &keys, text);
            host
        }
        endpoint => endpoint.clone(),
    }
}

fn access_keys(s3: &sections::S3Store, problems: &mut UnplacedProblems) {
    let (id, secret) = (&s3.access_key_id, &s3.secret_access_key);
    for (key, own, other, others) in [
        ("access_key_id", id, "secret_access_key", secret),
        ("secret_access_key", secret, "access_key_id", id),
    ] {
        let [key, other] = [key, other].map(|key| format!("image_store.s3.{key}"));
        let text = format!("missing: {other} is set; set both, or neither to use the machine's role");
        problems.add_unless(!own.is_blank() || others.is_blank(), &[&key, &other], text);
        // They are sent in a header.
        let text = "expected one line of visible ASCII characters";
        problems.add_unless(own.expose().bytes().all(|byte| byte.is_ascii_graphic()), &[&key], text);
    }
}

/// `endpoint` with the bucket before its host, as virtual-hosted-style requests need it.
fn bucket_host(endpoint: &Url, bucket: &str) -> Option<Url> {
    let host = endpoint.domain()?;
    let mut url = endpoint.clone();
    url.set_host(Some(&format!("{bucket}.{host}"))).ok()?;
    Some(url)
}

impl sections::ImageStore {
    /// Resolves this section without the others; `None` if something is wrong with it.
    pub fn resolve(&self) -> Option<ImageStore> {
        let mut problems = UnplacedProblems::default();
        resolve(self, &BasePath::default(), &mut problems).filter(|_| problems.0.is_empty())
    }
}
