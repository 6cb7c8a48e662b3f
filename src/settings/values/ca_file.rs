//! Certificate authorities that are trusted in addition to the system's.

use std::path::PathBuf;

use pem::Pem;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::pem_file;

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
        pem_file::certificates(&pem_file::read(&self.0)?, &self.0)
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
            .filter(pem_file::is_usable)
            .map(|root| Pem::new("CERTIFICATE", root.as_ref()));
        Ok(Some(pem::encode_many(&pems.collect::<Vec<_>>()).into_bytes()))
    }
}

impl From<PathBuf> for CaFile {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}
