//! An S3-compatible store over a folder.

use std::net::SocketAddr;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use super::{Gateway, GatewayBuilder};

/// An S3 server with the bucket `photos`; it ends with the test's runtime.
pub struct S3Server {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl S3Server {
    /// The secret that requests are signed with.
    pub const SECRET: &str = "a-secret-of-the-bucket-0123456789";

    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("photos")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("key-id", Self::SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, folder }
    }

    /// A gateway that stores pictures in the server at this endpoint.
    pub fn used_at(endpoint: impl std::fmt::Display) -> GatewayBuilder {
        Gateway::builder()
            .set("image_store.backend", "s3")
            .set("image_store.s3.endpoint", endpoint)
            .set("image_store.s3.bucket", "photos")
            .set("image_store.s3.access_key_id", "key-id")
            .set("image_store.s3.secret_access_key", Self::SECRET)
            .set("image_store.s3.public_base_url", "https://images.example.com")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("photos")
    }
}
