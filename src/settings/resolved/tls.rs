//! The certificate of the internal listener and its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::Error;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::settings::problem::{UnplacedProblems, UnusableSetting};
use crate::settings::sections::Internal;
use crate::settings::values::pem_file;

const CERTIFICATE: &str = "internal.tls_certificate_file";
const KEY: &str = "internal.tls_key_file";
/// How long before its expiry a certificate is warned about, or a quarter of its lifetime if that is shorter: short-lived
/// certificates are renewed later.
const WARN_AHEAD: Duration = Duration::from_hours(3 * 24);

/// The paths of the two files.
#[derive(Clone)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The contents of the two files at one moment, or why they could not be read.
#[derive(PartialEq)]
pub struct TlsPem {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

impl TlsFiles {
    /// Reads the files.
    pub fn read(&self) -> TlsPem {
        TlsPem {
            certificate: pem_file::read(&self.certificate),
            key: pem_file::read(&self.key),
        }
    }

    /// Parses the certificate and its key from the files' contents.
    pub fn certified_key(&self, pem: &TlsPem) -> Result<Arc<CertifiedKey>, UnusableSetting> {
        let (chain, key) = (self.chain(pem)?, self.private_key(pem)?);
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        certified.map(Arc::new).map_err(|error| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            let problem = match error {
                Error::InconsistentKeys(_) => format!(
                    "\"{key}\" is not the key of the first certificate in \"{certificate}\": use a matching pair, with the \
                     server's certificate before those of its CAs"
                ),
                _ => format!(
                    "the key in \"{key}\" can't be used: expected RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, \
                     or Ed25519"
                ),
            };
            UnusableSetting::new(KEY, problem)
        })
    }

    fn chain(&self, pem: &TlsPem) -> Result<Vec<CertificateDer<'static>>, UnusableSetting> {
        let chain = pem.certificate.as_ref().map_err(String::clone);
        let chain = chain.and_then(|pem| pem_file::certificates(pem, &self.certificate));
        chain.map_err(|problem| UnusableSetting::new(CERTIFICATE, problem))
    }

    fn private_key(&self, pem: &TlsPem) -> Result<PrivateKeyDer<'static>, UnusableSetting> {
        let key = pem.key.as_ref().map_err(String::clone);
        let key = key.and_then(|pem| pem_file::private_key(pem, &self.key));
        key.map_err(|problem| UnusableSetting::new(KEY, problem))
    }

    /// A warning if the certificate in `pem` is not valid yet, has expired or is about to.
    pub fn validity_warning(&self, pem: &TlsPem) -> Option<String> {
        let chain = pem_file::certificates(pem.certificate.as_ref().ok()?, &self.certificate).ok()?;
        let (start, end) = pem_file::lifetime(chain.first()?)?;
        let ahead = WARN_AHEAD.min(end.duration_since(start).unwrap_or_default() / 4);
        let now = SystemTime::now();
        if start > now {
            let date = humantime::format_rfc3339_seconds(start);
            return Some(format!(
                "{CERTIFICATE}: the certificate is not valid before {date}, and clients refuse it until then: give one that \
                 is valid now, or set this host's clock if it is wrong"
            ));
        }
        (end < now + ahead).then(|| {
            let date = humantime::format_rfc3339_seconds(end);
            if end < now {
                format!("{CERTIFICATE}: the certificate expired at {date}, and clients refuse it: renew it")
            } else {
                format!("{CERTIFICATE}: the certificate expires at {date}: renew it, or clients will refuse it")
            }
        })
    }
}

/// The files that `internal` names, if it names any.
pub(in crate::settings) fn resolve(internal: &Internal, problems: &mut UnplacedProblems) -> Option<TlsFiles> {
    let is_set = |path: &Path| !path.as_os_str().is_empty();
    let (certificate, key) = (&internal.tls_certificate_file, &internal.tls_key_file);
    if !is_set(certificate) && !is_set(key) {
        return None;
    }
    for (missing, given, path) in [(CERTIFICATE, KEY, certificate), (KEY, CERTIFICATE, key)] {
        if !is_set(path) {
            let text = format!("missing: {given} is set, and TLS needs both");
            problems.add_unless(false, &[missing, given], text);
            return None;
        }
    }
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let pem = files.read();
    let each = [files.chain(&pem).err(), files.private_key(&pem).err()];
    let mut unusable: Vec<_> = each.into_iter().flatten().collect();
    if unusable.is_empty() {
        unusable.extend(files.certified_key(&pem).err());
    }
    for unusable in unusable {
        problems.add_unless(false, &[unusable.key], unusable.problem);
    }
    Some(files)
}
