//! Certificate authorities that are trusted in addition to the system's.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pem::Pem;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// The largest file that is read, in bytes. A system's whole bundle has some 200 KiB.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The path of a PEM bundle; empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaFile(PathBuf);

impl CaFile {
    /// Whether one is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.as_os_str().is_empty()
    }

    /// The file's certificates; none if none is set. The error says what is wrong with the file.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.is_set() {
            return Ok(Vec::new());
        }
        let path = format!("\"{}\"", self.0.display());
        let pem = read(&self.0).map_err(|error| format!("can't read {path}: {error}"))?;
        let pem = pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&pem);
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| format!("{path} is not well-formed PEM"))?;
        if certificates.is_empty() {
            return Err(format!(
                "{path} holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")"
            ));
        }
        for (i, certificate) in certificates.iter().enumerate() {
            if !is_usable(certificate) {
                return Err(format!("certificate {} in {path} is malformed", i + 1));
            }
        }
        Ok(certificates)
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

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}
