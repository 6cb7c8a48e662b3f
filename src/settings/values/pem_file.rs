//! Files with certificates or a key in PEM. What is wrong is said with the file's name.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pem::Pem;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use crate::byte_order_mark::without_mark;

/// The largest file that is read, in bytes. A system's whole bundle of authorities has some 200 KiB.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

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
    Ok(without_mark(&bytes).to_vec())
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

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// The path of a PEM bundle with certificate authorities that are trusted in addition to the system's; empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaFile(PathBuf);

impl CaFile {
    /// Whether one is set.
    pub fn is_set(&self) -> bool {
        !self.0.as_os_str().is_empty()
    }

    /// The file's certificates; none if none is set. The error says what is wrong with the file.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.is_set() {
            return Ok(Vec::new());
        }
        certificates(&read(&self.0)?, &self.0)
    }

    /// The file's certificates and the system's as one PEM bundle, for a client that takes the system's only
    /// if it is given no others; `None` if no file is set.
    pub fn with_system_roots(&self) -> Result<Option<Vec<u8>>, String> {
        if !self.is_set() {
            return Ok(None);
        }
        let system = rustls_native_certs::load_native_certs().certs;
        let roots = self.certificates()?.into_iter().chain(system);
        let pems = roots
            .filter(is_usable)
            .map(|root| Pem::new("CERTIFICATE", root.as_ref()));
        Ok(Some(pem::encode_many(&pems.collect::<Vec<_>>()).into_bytes()))
    }
}

impl From<PathBuf> for CaFile {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}
