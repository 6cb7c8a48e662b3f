//! Files with certificates or a key in PEM. Errors name the file.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pem::Pem;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use crate::byte_order_mark::without_mark;
use crate::clock::LATEST_DATE;
use crate::settings::file;

/// The maximum file size. A system's whole CA bundle has about 200 KiB.
const MAX_FILE_MIB: u64 = 4;

/// The content of the file at `path`.
pub(in crate::settings) fn read(path: &Path) -> Result<Vec<u8>, String> {
    match file::read(path, MAX_FILE_MIB) {
        Ok(bytes) => Ok(without_mark(&bytes).to_vec()),
        Err(error) => Err(format!("can't read \"{}\": {error}", path.display())),
    }
}

/// The certificates in `pem`, the content of the file at `path`.
pub(in crate::settings) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = path.display();
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("\"{path}\" is not well-formed PEM"))?;
    if certificates.is_empty() {
        return Err(format!(
            "\"{path}\" holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")"
        ));
    }
    match certificates.iter().position(|certificate| !is_usable(certificate)) {
        Some(index) => Err(format!("certificate {} in \"{path}\" is malformed", index + 1)),
        None => Ok(certificates),
    }
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// The start and end of the validity of `certificate`; `None` if it never expires.
pub(in crate::settings) fn lifetime(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    // rustls has no accessor for the dates, but names them when it refuses a certificate, and checks them first.
    let refusal_at = |time| {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let time = UnixTime::since_unix_epoch(time);
        verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], time, &[])
    };
    let date = |time: UnixTime| UNIX_EPOCH + Duration::from_secs(time.as_secs());
    match (refusal_at(Duration::ZERO), refusal_at(LATEST_DATE)) {
        (
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })),
        ) => Some((date(not_before), date(not_after))),
        _ => None,
    }
}

/// The private key in `pem`, the content of the file at `path`.
pub(in crate::settings) fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let path = path.display();
        if pem.windows(9).any(|text| text == b"ENCRYPTED") {
            format!(
                "the key in \"{path}\" is encrypted, and wxgate can't prompt for a pass phrase: store it without one \
                 (openssl pkey -in … -out …)"
            )
        } else {
            format!("\"{path}\" holds no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")")
        }
    })
}

/// The certificate authorities in the PEM bundle at `path`; none if `path` is empty.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    certificates(&read(path)?, path)
}

/// The authorities in the PEM bundle at `path` and the system's in one PEM bundle, for a client that uses the system's
/// only if it is given no others; `None` if `path` is empty.
pub fn with_system_roots(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let own = authorities(path)?;
    if own.is_empty() {
        return Ok(None);
    }
    let roots = own.into_iter().chain(rustls_native_certs::load_native_certs().certs);
    let pems = roots
        .filter(is_usable)
        .map(|root| Pem::new("CERTIFICATE", root.as_ref()));
    Ok(Some(pem::encode_many(&pems.collect::<Vec<_>>()).into_bytes()))
}
