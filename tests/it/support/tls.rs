//! A company's own certificate authority, and a Redis server's certificate from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The files of an authority that nobody else knows.
pub struct Tls {
    directory: tempfile::TempDir,
}

impl Tls {
    pub fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("names"), "subjectAltName = IP:127.0.0.1\n").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(
            path,
            &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
        );
        openssl(
            path,
            &format!("req -new {key} -subj /CN=redis -keyout redis.key -out redis.csr"),
        );
        let sign = "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial";
        openssl(path, &format!("{sign} -days 2 -extfile names -out redis.pem"));
        Arc::new(Self { directory })
    }

    /// The authority's certificate, as `SSL_CERT_FILE` may name it.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What the test's own client needs to trust the server.
    pub fn trust(&self) -> redis::TlsCertificates {
        redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(std::fs::read(self.authority()).unwrap()),
        }
    }

    /// The options of a server that listens at `address` with TLS only, towards its peers too.
    pub fn options(&self, address: SocketAddr) -> Vec<String> {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let options = [
            ("--port", "0".to_owned()),
            ("--tls-port", address.port().to_string()),
            ("--tls-cert-file", file("redis.pem")),
            ("--tls-key-file", file("redis.key")),
            ("--tls-ca-cert-file", file("ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
            ("--tls-replication", "yes".to_owned()),
        ];
        options
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}

/// Runs openssl in `directory`.
pub fn openssl(directory: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl can't be started: run scripts/test, which installs what the tests need");
    assert!(made.success(), "openssl {arguments}");
}
