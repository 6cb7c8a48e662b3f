//! A real redis-sentinel on a free port.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::{RedisServer, Tls, connection, free_address, until};

/// A sentinel with a quorum of one; killed, by its id, when the test ends.
pub struct Sentinel {
    child: Child,
    pub address: SocketAddr,
    tls: Option<Arc<Tls>>,
    /// `user:password@`, if it wants a login.
    login: String,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    /// Watches `master`, under the name `mymaster`, once it knows of its one replica.
    pub async fn start(master: &RedisServer, tls: &Arc<Tls>) -> Self {
        let sentinel = Self::spawn(master, Some(tls), "", String::new());
        until("the sentinel knows the replica", || async {
            sentinel.good("REPLICAS mymaster", "slave").await == 1
        })
        .await;
        sentinel
    }

    /// Watches `master`, with more lines of configuration, which require this login.
    pub async fn start_with(master: &RedisServer, lines: &str, login: &str) -> Self {
        let sentinel = Self::spawn(master, None, lines, format!("{login}@"));
        until("the sentinel knows the master", || async {
            sentinel.good("MASTERS", "master").await == 1
        })
        .await;
        sentinel
    }

    fn spawn(master: &RedisServer, tls: Option<&Arc<Tls>>, more: &str, login: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let address = free_address();
        let watched = format!("{} {}", master.address.ip(), master.address.port());
        let lines = [
            format!("bind 127.0.0.1\ndir {}", directory.path().display()),
            format!("sentinel monitor mymaster {watched} 1"),
            "sentinel down-after-milliseconds mymaster 500".to_owned(),
            "sentinel failover-timeout mymaster 3000".to_owned(),
            format!("{more}\n"),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let plain = || vec!["--port".to_owned(), address.port().to_string()];
        let child = Command::new("redis-sentinel")
            .arg(&file)
            .args(tls.map_or_else(plain, |tls| tls.options(address)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-sentinel can't be started: run scripts/test, which installs what the tests need");
        Self {
            child,
            address,
            tls: tls.cloned(),
            login,
            _directory: directory,
        }
    }

    /// The master's address, if master and replica are both healthy.
    #[allow(dead_code, reason = "it changes only in the soak test")]
    pub async fn good_master(&self) -> Option<SocketAddr> {
        let (host, port): (String, u16) = self.ask("GET-MASTER-ADDR-BY-NAME mymaster").await;
        let good = self.good("MASTERS", "master").await == 1 && self.good("REPLICAS mymaster", "slave").await == 1;
        good.then(|| SocketAddr::new(host.parse().unwrap(), port))
    }

    /// Sets how long a server must not answer to count as down.
    #[allow(dead_code, reason = "only the soak test freezes servers for less")]
    pub async fn set_patience(&self, time: std::time::Duration) {
        let millis = time.as_millis();
        self.ask::<()>(&format!("SET mymaster down-after-milliseconds {millis}"))
            .await;
    }

    async fn ask<T: redis::FromRedisValue>(&self, what: &str) -> T {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let url = format!("{scheme}://{}{}", self.login, self.address);
        let mut connection = connection(&url, self.tls.as_deref()).await;
        let words: Vec<&str> = what.split(' ').collect();
        redis::cmd("SENTINEL")
            .arg(&words)
            .query_async(&mut connection)
            .await
            .unwrap()
    }

    /// How many servers that `SENTINEL <what>` lists have no flags but `flags`.
    async fn good(&self, what: &str, flags: &str) -> usize {
        if tokio::net::TcpStream::connect(self.address).await.is_err() {
            return 0;
        }
        let servers: Vec<std::collections::HashMap<String, String>> = self.ask(what).await;
        servers.iter().filter(|server| server["flags"] == flags).count()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
