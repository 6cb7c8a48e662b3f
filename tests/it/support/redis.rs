//! A real redis-server on a free port.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::AsyncCommands;

use super::{Tls, send_signal, until};

/// A redis-server of the test's own; killed, by its id, when the test ends.
pub struct RedisServer {
    child: Child,
    pub address: SocketAddr,
    options: Vec<String>,
    /// Its files, such as a cluster's map, survive [`RedisServer::kill`].
    directory: tempfile::TempDir,
    tls: Option<Arc<Tls>>,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with these options besides.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::start_at(free_address(), options).await
    }

    pub async fn start_at(address: SocketAddr, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self::start_as(address, options, None).await
    }

    /// A server that speaks nothing but TLS.
    pub async fn start_with_tls(tls: &Arc<Tls>, options: &[&str]) -> Self {
        let address = free_address();
        let options = options.iter().map(|&option| option.to_owned());
        let options = options.chain(tls.options(address)).collect();
        Self::start_as(address, options, Some(Arc::clone(tls))).await
    }

    async fn start_as(address: SocketAddr, options: Vec<String>, tls: Option<Arc<Tls>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self {
            child: spawn(address, &options, &directory),
            address,
            options,
            directory,
            tls,
        };
        server.answers().await;
        server
    }

    async fn answers(&mut self) {
        let (address, child) = (self.address, std::sync::Mutex::new(&mut self.child));
        until("redis-server answers", || async {
            let ended = child.lock().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "redis-server ended at once: {ended:?}");
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
    }

    /// Ends the server as a power cut would; what it held in memory is lost.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the killed server again, at the same address.
    pub async fn revive(&mut self) {
        self.child = spawn(self.address, &self.options, &self.directory);
        self.answers().await;
    }

    /// Sends a signal, by its name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}/0", self.address)
    }

    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        connection(&self.url(), self.tls.as_deref()).await
    }

    /// Runs a command, as `redis-cli` would.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        let give_up = tokio::time::Instant::now() + super::LIMIT;
        loop {
            let done = async {
                let mut connection = try_connection(&self.url(), self.tls.as_deref()).await?;
                command.query_async(&mut connection).await
            };
            match done.await {
                // A sentinel that gives the server another role closes its connections.
                Err(error) if is_broken(&error) && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                done => return done.unwrap(),
            }
        }
    }

    /// Its role, `master` or `slave`; `None` if it does not answer soon.
    #[allow(dead_code, reason = "it changes only in the soak test")]
    pub async fn role(&self) -> Option<String> {
        let asked = async {
            let mut connection = try_connection(&self.url(), self.tls.as_deref()).await.ok()?;
            let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut connection).await.ok()?;
            redis::from_redis_value(role.into_iter().next()?).ok()
        };
        tokio::time::timeout(super::SOON, asked).await.ok().flatten()
    }

    /// Makes it a replica of an unused address: it takes no writes until `REPLICAOF NO ONE`.
    pub async fn refuse_writes(&self) {
        let unused = free_address();
        self.command::<()>(&format!("REPLICAOF {} {}", unused.ip(), unused.port()))
            .await;
    }

    /// The string at `key`.
    pub async fn value(&self, key: &str) -> Option<String> {
        self.connection().await.get(key).await.unwrap()
    }

    /// The TTL of `key`.
    pub async fn life(&self, key: &str) -> Duration {
        let millis: i64 = self.connection().await.pttl(key).await.unwrap();
        Duration::from_millis(millis.try_into().unwrap_or(0))
    }

    /// Every key, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connection().await.keys("*").await.unwrap();
        keys.sort();
        keys
    }

    /// The entries in the journal of `app_id`, oldest first.
    pub async fn journal_entries(&self, app_id: &wxgate::account::AppId) -> Vec<HashMap<String, String>> {
        let entries: Vec<(String, HashMap<String, String>)> =
            self.command(&format!("XRANGE wxgate:journal:{app_id} - +")).await;
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The journal of `app_id`, oldest first: event, kind and reason of each entry.
    pub async fn journal(&self, app_id: &wxgate::account::AppId) -> Vec<[String; 3]> {
        let entries = self.journal_entries(app_id).await;
        entries
            .iter()
            .map(|entry| ["event", "kind", "reason"].map(|name| entry[name].clone()))
            .collect()
    }

    /// How often `event` is in the journal of `app_id`.
    pub async fn journaled(&self, app_id: &wxgate::account::AppId, event: &str) -> usize {
        let journal = self.journal(app_id).await;
        journal.iter().filter(|[noted, ..]| noted == event).count()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_broken(error: &redis::RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped()
}

/// A connection for the test itself.
pub async fn connection(url: &str, tls: Option<&Tls>) -> redis::aio::MultiplexedConnection {
    try_connection(url, tls).await.unwrap()
}

async fn try_connection(url: &str, tls: Option<&Tls>) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let client = match tls {
        None => redis::Client::open(url),
        Some(tls) => redis::Client::build_with_tls(url, tls.trust()),
    };
    let client = client.unwrap();
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(super::LIMIT))
        .set_response_timeout(Some(super::LIMIT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn spawn(address: SocketAddr, options: &[String], directory: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server can't be started: run scripts/test, which installs what the tests need")
}

/// An address that was free a moment ago, and that no other test gets: it stays unused, and a killed server can start
/// again at its old address. The port is below those that the system assigns; the port 10000 above it, for Redis
/// Cluster's bus, was free too.
pub fn free_address() -> SocketAddr {
    /// Starts at random, since other runs on this machine do the same.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..10_000)));
    let next = || 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut ports = std::iter::repeat_with(next).take(1000);
    let port = ports.find(|port| free(*port) && free(port + 10_000));
    SocketAddr::from(([127, 0, 0, 1], port.expect("a free port")))
}

#[test]
fn addresses_are_unique_per_test() {
    let given: std::collections::HashSet<_> = std::iter::repeat_with(free_address).take(1000).collect();
    assert_eq!(given.len(), 1000);
}
