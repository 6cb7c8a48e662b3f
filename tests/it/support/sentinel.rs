//! A real redis-sentinel on a free port.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::{RedisServer, Tls, connection, free_address, until};

/// A sentinel that alone decides; killed, by its id, when the test ends.
pub struct Sentinel {
    child: Child,
    pub address: SocketAddr,
    tls: Arc<Tls>,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    /// Watches `master`, under the name `mymaster`, once it knows of its one replica.
    pub async fn start(master: &RedisServer, tls: &Arc<Tls>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let address = free_address();
        let watched = format!("{} {}", master.address.ip(), master.address.port());
        let lines = [
            format!("bind 127.0.0.1\ndir {}", directory.path().display()),
            format!("sentinel monitor mymaster {watched} 1"),
            "sentinel down-after-milliseconds mymaster 500".to_owned(),
            "sentinel failover-timeout mymaster 3000\n".to_owned(),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let child = Command::new("redis-sentinel")
            .arg(&file)
            .args(tls.options(address))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-sentinel can't be started: run scripts/test, which installs what the tests need");
        let sentinel = Self {
            child,
            address,
            tls: Arc::clone(tls),
            _directory: directory,
        };
        until("the sentinel knows the replica", || async {
            sentinel.replicas().await == 1
        })
        .await;
        sentinel
    }

    /// How many good replicas of the master it knows.
    async fn replicas(&self) -> usize {
        if tokio::net::TcpStream::connect(self.address).await.is_err() {
            return 0;
        }
        let url = format!("rediss://{}", self.address);
        let mut connection = connection(&url, Some(&self.tls)).await;
        let replicas: Vec<std::collections::HashMap<String, String>> = redis::cmd("SENTINEL")
            .arg(&["REPLICAS", "mymaster"])
            .query_async(&mut connection)
            .await
            .unwrap();
        replicas.iter().filter(|replica| replica["flags"] == "slave").count()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
