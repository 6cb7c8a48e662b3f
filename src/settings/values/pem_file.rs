//! Files with certificates or a key in PEM. What is wrong is said with the file's name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The largest file that is read, in bytes. A system's whole bundle of authorities has some 200 KiB.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The content of the file at `path`.
pub(in crate::settings) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    let read = read.and_then(|_| {
        let fits = bytes.len() as u64 <= LARGEST_FILE;
        fits.then_some(())
            .ok_or_else(|| io::Error::other("it is larger than 4 MiB"))
    });
    read.map_err(|error| format!("can't read \"{}\": {error}", path.display()))?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// The certificates in `pem`, which is the content of the file at `path`.
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

pub(super) fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}
