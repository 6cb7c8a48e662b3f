//! `[image_store]`: where pictures are stored.

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
    /// Which of the three stores below is used.
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

section! {
    /// `[image_store.local]`: a folder, served by the gateway itself.
    pub struct LocalStore {
        /// The folder; created at start if it does not exist.
        pub directory: PathBuf = "data/images".into(),
        /// The prefix of returned URLs: a path of this gateway, or an address in front of it.
        pub public_base_url: values::PublicBase = built_in("/images".to_owned()),
    }
}

section! {
    /// `[image_store.http]`: an upload service that takes multipart/form-data.
    pub struct HttpStore {
        /// Where pictures are posted.
        #[serde(with = "values::OptionalUrl")]
        pub url: Option<Url> = None,
        /// The name of the file's form field.
        pub field: String = "file".to_owned(),
        /// Headers to send, by name in lower case; their values are secrets.
        pub headers: BTreeMap<String, Secret> = BTreeMap::new(),
        /// Where a JSON answer reports success, as a JSON Pointer; if empty, only the status counts.
        pub success_pointer: values::JsonPointer = built_in("/code".to_owned()),
        /// The value found there on success: a text, a number, true or false.
        pub success_value: toml::Value = toml::Value::Integer(0),
        /// Where the answer contains the picture's URL.
        pub url_pointer: values::UrlPlace = built_in("/data".to_owned()),
        /// The prefix for an answer that is only a path.
        #[serde(with = "values::OptionalUrl")]
        pub public_base_url: Option<Url> = None,
        /// Further fields of the form, by name; their values are secrets.
        pub fields: BTreeMap<String, Secret> = BTreeMap::new(),
        /// How long the service may accept no data, or send no answer after the end of the picture.
        #[serde(with = "values::PositiveDuration")]
        pub timeout: Duration = Duration::from_secs(30),
        /// How often an upload is tried in all, each time with a fresh download.
        pub attempts: u32 = 3,
    }
}

section! {
    /// `[image_store.s3]`: any S3-compatible store.
    pub struct S3Store {
        /// The store's address; empty means AWS.
        #[serde(with = "values::OptionalUrl")]
        pub endpoint: Option<Url> = None,
        /// The region for which requests are signed.
        pub region: String = "us-east-1".to_owned(),
        /// The bucket; it must exist.
        pub bucket: String = String::new(),
        /// The prefix of every object's key.
        pub prefix: String = String::new(),
        /// Without it and the secret, the machine's role is used.
        pub access_key_id: Secret = Secret::default(),
        /// The secret that belongs to `access_key_id`.
        pub secret_access_key: Secret = Secret::default(),
        /// Whether the bucket is in the path rather than in the host name.
        pub path_style: bool = true,
        /// Whether `endpoint` already includes the bucket; then `path_style` is ignored.
        pub bucket_endpoint: bool = false,
        /// The canned ACL of every object, for a store that requires one.
        pub acl: String = String::new(),
        /// The returned URL is this plus the object's key.
        #[serde(with = "values::OptionalUrl")]
        pub public_base_url: Option<Url> = None,
    }
}

impl S3Store {
    /// The key id and secret used to sign requests; without them, the machine's role is used.
    pub fn keys(&self) -> Option<(&Secret, &Secret)> {
        let (id, secret) = (&self.access_key_id, &self.secret_access_key);
        (!id.is_blank() && !secret.is_blank()).then_some((id, secret))
    }
}
