//! A real redis-server on a free port.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use redis::AsyncCommands;

use super::until;

/// A redis-server of the test's own; killed, by its id, when the test ends.
pub struct RedisServer {
    child: Child,
    pub address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with these options besides.
    pub async fn start_with(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can't be started: run scripts/test, which installs what the tests need");
        let server = Self {
            child,
            address,
            _directory: directory,
        };
        until("redis-server answers", || async {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url())
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap()
    }

    /// Every key and its value, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connection().await.keys("*").await.unwrap();
        keys.sort();
        keys
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
