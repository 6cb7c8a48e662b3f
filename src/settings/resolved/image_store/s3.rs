//! `[image_store.s3]`: a bucket.

use object_store::path::Path;
use url::Url;

use super::needs;
use crate::secret::Secret;
use crate::settings::sections;
use crate::settings::validate::findings::Findings;

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    /// The store's address, if it is not AWS. It is the bucket's own unless `path_style` is set.
    pub endpoint: Option<Url>,
    /// Whether the bucket's name goes into the path of each request.
    pub path_style: bool,
    /// The keys to sign with; without them the machine's role is used.
    pub keys: Option<AccessKeys>,
    /// The returned URL is this plus the object's key.
    pub public_base_url: Url,
    /// The rest of the section.
    pub section: sections::S3Store,
}

/// What requests to S3 are signed with.
#[derive(Clone)]
pub struct AccessKeys {
    /// Access key id.
    pub id: Secret,
    /// Secret access key.
    pub secret: Secret,
}

pub(super) fn resolve(s3: &sections::S3Store, findings: &mut Findings) -> Option<S3Store> {
    let based = s3.public_base_url.is_some();
    needs(findings, "s3.bucket", !s3.bucket.trim().is_empty(), "a bucket");
    let in_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let text = "expected a bucket's name: letters of ASCII, digits, \"-\", \".\" and \"_\"";
    let named = s3.bucket.trim().is_empty() || s3.bucket.bytes().all(in_a_name);
    findings.require(named, &["image_store.s3.bucket"], text);
    needs(findings, "s3.region", !s3.region.trim().is_empty(), "a region");
    needs(
        findings,
        "s3.public_base_url",
        based,
        "the address that pictures are read from",
    );
    let text = "expected the beginning of a key, such as \"h5/\": no empty part, no \".\" or \"..\"";
    findings.require(Path::parse(&s3.prefix).is_ok(), &["image_store.s3.prefix"], text);
    let named = s3.acl.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let text = "expected the name of a canned ACL such as \"public-read\", or \"\" for none";
    findings.require(named, &["image_store.s3.acl"], text);
    let keys = keys(s3, findings);
    Some(S3Store {
        endpoint: endpoint(s3, findings),
        path_style: s3.path_style && !s3.bucket_endpoint,
        keys,
        public_base_url: s3.public_base_url.clone()?,
        section: s3.clone(),
    })
}

/// The address that requests go to, if it is not AWS.
fn endpoint(s3: &sections::S3Store, findings: &mut Findings) -> Option<Url> {
    if s3.bucket_endpoint {
        let keys = ["image_store.s3.endpoint", "image_store.s3.bucket_endpoint"];
        let text = "missing: bucket_endpoint = true needs the bucket's own address";
        findings.require(s3.endpoint.is_some(), &keys, text);
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
            findings.require(host.is_some(), &keys, text);
            host
        }
        endpoint => endpoint.clone(),
    }
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
