//! `[image_store]`: where pictures go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;
use crate::settings::values::{self, AsText, built_in};

/// `[image_store]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageStore {
    /// Which of the three below is used.
    pub backend: ImageStoreBackend,
    /// A folder.
    pub local: LocalStore,
    /// An upload service.
    pub http: HttpStore,
    /// An S3-compatible store.
    pub s3: S3Store,
}

/// Which image store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStoreBackend {
    /// A folder, served by the gateway itself.
    #[default]
    Local,
    /// An upload service.
    Http,
    /// An S3-compatible store.
    S3,
}

/// `[image_store.local]`: a folder, served by the gateway itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalStore {
    /// The folder; created if it does not exist.
    pub directory: PathBuf,
    /// What the returned URL begins with: a path of this gateway, or an address in front of it.
    pub public_base_url: values::PublicBase,
}

impl Default for LocalStore {
    fn default() -> Self {
        Self {
            directory: "data/images".into(),
            public_base_url: built_in("/images".to_owned()),
        }
    }
}

/// `[image_store.http]`: an upload service that takes multipart/form-data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpStore {
    /// Where pictures are posted.
    #[serde(with = "values::OptionalUrl")]
    pub url: Option<Url>,
    /// The name of the file's form field.
    pub field: String,
    /// Headers sent along, by name in lower case; their values are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Where a JSON answer reports success, as a JSON Pointer; if it is empty, only the status counts.
    pub success_pointer: values::JsonPointer,
    /// What the answer has there on success.
    pub success_value: values::Scalar,
    /// Where the answer has the picture's URL.
    pub url_pointer: values::UrlPlace,
    /// What comes before an answer that is a path.
    #[serde(with = "values::OptionalUrl")]
    pub public_base_url: Option<Url>,
    /// Further fields of the form, by name; their values are secrets.
    pub fields: BTreeMap<String, Secret>,
    /// The longest one upload may take.
    #[serde(with = "values::PositiveDuration")]
    pub timeout: Duration,
    /// How often a picture is tried, each time with a fresh download.
    pub attempts: u32,
}

impl Default for HttpStore {
    fn default() -> Self {
        Self {
            url: None,
            field: "file".to_owned(),
            headers: BTreeMap::new(),
            success_pointer: built_in("/code".to_owned()),
            success_value: values::Scalar::Integer(0),
            url_pointer: built_in("/data".to_owned()),
            public_base_url: None,
            fields: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            attempts: 3,
        }
    }
}

/// `[image_store.s3]`: any S3-compatible store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Store {
    /// The store's address; empty means AWS.
    #[serde(with = "values::OptionalUrl")]
    pub endpoint: Option<Url>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket; it must exist.
    pub bucket: String,
    /// What every object's key begins with.
    pub prefix: String,
    /// Without it and the secret, the machine's role is used.
    pub access_key_id: Secret,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Secret,
    /// Whether the bucket is in the path rather than in the host name.
    pub path_style: bool,
    /// Whether `endpoint` is the bucket already; then `path_style` does not count.
    pub bucket_endpoint: bool,
    /// The canned ACL of every object, for a store that wants one.
    pub acl: String,
    /// The returned URL is this plus the object's key.
    #[serde(with = "values::OptionalUrl")]
    pub public_base_url: Option<Url>,
}

impl Default for S3Store {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: String::new(),
            access_key_id: Secret::default(),
            secret_access_key: Secret::default(),
            path_style: true,
            bucket_endpoint: false,
            acl: String::new(),
            public_base_url: None,
        }
    }
}
