//! A company's own certificate authority, a Redis server's certificate from it, and TLS before other servers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The files of an authority made for the test.
pub struct Tls {
    directory: tempfile::TempDir,
}

impl Tls {
    pub fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(
            path,
            &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
        );
        let tls = Self { directory };
        tls.issue("redis", "IP:127.0.0.1");
        Arc::new(tls)
    }

    /// Issues a certificate for `names`, as OpenSSL writes them: its file and its key's.
    pub fn issue(&self, file: &str, names: &str) -> [PathBuf; 2] {
        let path = self.directory.path();
        std::fs::write(path.join("names"), format!("subjectAltName = {names}\n")).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(
            path,
            &format!("req -new {key} -subj /CN={file} -keyout {file}.key -out {file}.csr"),
        );
        let sign = format!("x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial");
        openssl(path, &format!("{sign} -days 2 -extfile names -out {file}.pem"));
        ["pem", "key"].map(|kind| path.join(format!("{file}.{kind}")))
    }

    /// TLS before a server, with a certificate of the authority's.
    pub async fn before(&self, server: SocketAddr, certificate: Certificate) -> TlsFront {
        let [chain, key] = self.issue_for_loopback(certificate);
        let chain = CertificateDer::from_pem_file(chain).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        TlsFront::start(server, chain, key).await
    }

    /// Issues a certificate for a server on loopback: its file and its key's.
    pub fn issue_for_loopback(&self, certificate: Certificate) -> [PathBuf; 2] {
        let path = self.directory.path();
        let files = |name: &str| ["pem", "key"].map(|kind| path.join(format!("{name}.{kind}")));
        let (names, validity) = match certificate {
            Certificate::AuthoritysOwn => return files("ca"),
            Certificate::Good => ("IP:127.0.0.1,DNS:api.weixin.test,DNS:s3.test", "-days 2"),
            Certificate::OfAnotherName => ("DNS:another.test", "-days 2"),
            Certificate::Expiring => ("IP:127.0.0.1", "-startdate 20200101000000Z -days 2"),
            Certificate::Expired => ("IP:127.0.0.1", "-startdate 20200101000000Z -enddate 20200102000000Z"),
            Certificate::Future => ("IP:127.0.0.1", "-startdate 20980101000000Z -enddate 20980102000000Z"),
        };
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        write("front-names", &format!("subjectAltName = {names}\n"));
        write(
            "ca.cnf",
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n\
             [any]\ncommonName=supplied\n",
        );
        write("index", "");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(
            path,
            &format!("req -new {key} -subj /CN=front -keyout front.key -out front.csr"),
        );
        let sign = "ca -batch -rand_serial -config ca.cnf -cert ca.pem -keyfile ca.key -notext -in front.csr";
        openssl(path, &format!("{sign} {validity} -extfile front-names -out front.pem"));
        files("front")
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

    /// The options of a server that listens at `address` and uses TLS only, also with its peers.
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

/// What is wrong with a server's certificate, if anything.
#[derive(Clone, Copy)]
pub enum Certificate {
    /// Valid, if the authority is trusted.
    Good,
    /// Two days before its end, after years of validity.
    Expiring,
    Expired,
    /// Not valid yet.
    Future,
    OfAnotherName,
    /// It is the authority's, as a self-signed one is.
    AuthoritysOwn,
}

/// TLS before a server that speaks none; it ends with the test.
pub struct TlsFront {
    pub address: SocketAddr,
    _end: DropGuard,
}

impl TlsFront {
    async fn start(server: SocketAddr, chain: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }));
        Self {
            address,
            _end: end.drop_guard(),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
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
