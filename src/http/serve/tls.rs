//! TLS for a listener, with a replaceable certificate.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Accepts TLS 1.2 and 1.3. Cheap to clone; all clones share one certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

#[derive(Debug)]
struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// TLS with `certificate`.
    pub fn new(certificate: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        let certificate = Arc::new(Certificate(ArcSwap::new(certificate)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        // Some PHP clients are configured for HTTP/1.0 and offer nothing else.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        Ok(Self {
            acceptor: Arc::new(config).into(),
            certificate,
        })
    }

    /// Uses `certificate` from now on; true if it differs from the previous one.
    #[must_use]
    pub fn replace(&self, certificate: &Arc<CertifiedKey>) -> bool {
        let before = self.certificate.0.swap(Arc::clone(certificate));
        before.cert != certificate.cert
    }

    /// The TLS stream, if the client completes the handshake within `limit`.
    pub(super) async fn accept<IO>(&self, stream: IO, limit: Duration) -> Option<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(limit, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                None
            }
        }
    }
}
