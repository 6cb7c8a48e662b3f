//! What abuse costs: idle connections, dripped heads and a flood of bad input, each with the memory of
//! the gateway's process, and how long good signing requests take meanwhile.
//!
//! `cargo bench --bench abuse` starts `wxgate serve --sandbox` on loopback and does it all there. The
//! clients share the processors with the gateway, so times compare with the quiet line of the same run
//! and with nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const IDLE: usize = 10_000;
const DRIPPING: usize = 5_000;
const FLOODING: usize = 64;
/// How long good requests are watched each time.
const WATCH: Duration = Duration::from_secs(6);
/// The good ones: so many clients, each with a pause between its requests.
const PAGES: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);

const SIGN: &str = "GET /wechat/jsSDK?url=https%3A%2F%2Fa.cn%2Fp HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::main]
async fn main() {
    wxgate::http::serve::raise_open_files();
    let gateway = Gateway::start();
    let watch = async |what: &str, note: &str| {
        let mut times = good_requests(gateway.address).await;
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        let memory = gateway.memory();
        println!(
            "| {what} | {memory} | {} | {:.2} | {:.2} | {note} |",
            times.len(),
            at(50),
            at(99)
        );
    };
    println!("| meanwhile | RSS, KiB | good requests | p50, ms | p99, ms | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    good_requests(gateway.address).await;
    watch("quiet", "").await;

    let before = gateway.memory();
    let idle = idle_connections(gateway.address).await;
    // HTTP's machinery is given back.
    sleep(Duration::from_secs(1)).await;
    let each = gateway.memory().saturating_sub(before) * 1024 / IDLE;
    watch("10,000 idle connections", &format!("{each} bytes a connection")).await;
    let mut alive = 0;
    for mut connection in idle {
        alive += usize::from(ask(&mut connection, SIGN).await.is_some());
    }
    println!("| and then | {} | | | | {alive} of them still work |", gateway.memory());

    let stop = CancellationToken::new();
    let (cut, bad) = (Arc::default(), Arc::default());
    for _ in 0..DRIPPING {
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(drip(gateway.address, Arc::clone(&cut))),
        );
    }
    // Long enough for the first of them to be cut.
    sleep(Duration::from_secs(12)).await;
    watch("5,000 heads dripped", "").await;
    stop.cancel();
    println!(
        "| and then | {} | | | | {} were cut |",
        gateway.memory(),
        cut.load(Ordering::Relaxed)
    );

    let stop = CancellationToken::new();
    for number in 0..FLOODING {
        let flood = flood(gateway.address, number, Arc::clone(&bad));
        tokio::spawn(stop.clone().run_until_cancelled_owned(flood));
    }
    let start = Instant::now();
    watch("a flood of bad input", "").await;
    let rate = bad.load(Ordering::Relaxed) as u64 / start.elapsed().as_secs();
    stop.cancel();
    println!(
        "| and then | {} | | | | {rate} a second were refused |",
        gateway.memory()
    );
    sleep(Duration::from_secs(2)).await;
    watch("quiet again", "").await;
}

/// The real binary.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .args(["serve", "--sandbox"])
            .current_dir(std::env::temp_dir())
            .env("WXGATE__SERVER__LISTEN", "127.0.0.1:0")
            .env("WXGATE__INTERNAL__LISTEN", "")
            .env("WXGATE__TELEMETRY__LOG_LEVEL", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().trim_end_matches('/').rsplit('/').next().unwrap();
        Self {
            address: address.parse().unwrap(),
            child,
        }
    }

    /// Its resident memory in KiB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and reads an answer, which is taken to come in one piece; its length, or `None`
/// where the connection is over.
async fn ask(connection: &mut TcpStream, request: &str) -> Option<usize> {
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = [0; 4096];
    connection.read(&mut answer).await.ok().filter(|length| *length > 0)
}

/// How long each good request took, first connection included.
async fn good_requests(address: SocketAddr) -> Vec<Duration> {
    let end = Instant::now() + WATCH;
    let pages = (0..PAGES).map(|_| {
        tokio::spawn(async move {
            let (mut times, mut connection) = (Vec::new(), None);
            while Instant::now() < end {
                let start = Instant::now();
                let open = match &mut connection {
                    Some(open) => open,
                    none => none.insert(TcpStream::connect(address).await.unwrap()),
                };
                ask(open, SIGN).await.expect("a good request was answered");
                times.push(start.elapsed());
                sleep(PAUSE).await;
            }
            times
        })
    });
    let times = futures_util::future::join_all(pages).await;
    times.into_iter().flat_map(Result::unwrap).collect()
}

async fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    let mut connections = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = TcpStream::connect(address).await.unwrap();
        ask(&mut connection, SIGN).await.unwrap();
        connections.push(connection);
    }
    connections
}

/// A head that never ends, a byte a second; and another one when it is cut.
async fn drip(address: SocketAddr, cut: Arc<AtomicUsize>) {
    loop {
        let Ok(mut connection) = TcpStream::connect(address).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let _ = connection.write_all(b"GET /wechat/jsSDK HTTP/1.1\r\nx: ").await;
        loop {
            let mut nothing = [0];
            let read = tokio::time::timeout(Duration::from_secs(1), connection.read(&mut nothing)).await;
            if read.is_ok() || connection.write_all(b"x").await.is_err() {
                break;
            }
        }
        cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// One kind of nonsense after the other, as fast as it is refused.
async fn flood(address: SocketAddr, number: usize, count: Arc<AtomicUsize>) {
    let upload = "POST /p/active/weChatOa/upload HTTP/1.1\r\nhost: a\r\n";
    let bad = [
        "GET /wechat/jsSDK?url=%FF HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        format!(
            "GET /wechat/jsSDK?url={} HTTP/1.1\r\nhost: a\r\n\r\n",
            "%25".repeat(3_000)
        ),
        format!("{upload}content-type: application/json\r\ncontent-length: 9\r\n\r\n{{\"mediaId"),
        format!("{upload}content-type: text/plain\r\ncontent-length: 0\r\n\r\n"),
        "\u{16}\u{3}\u{1} no HTTP\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        "GET /nope HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
    ];
    let mut connection = None;
    for request in bad.iter().cycle().skip(number) {
        let open = match &mut connection {
            Some(open) => open,
            none => match TcpStream::connect(address).await {
                Ok(open) => none.insert(open),
                Err(_) => continue,
            },
        };
        let answered = ask(open, request).await.is_some();
        count.fetch_add(usize::from(answered), Ordering::Relaxed);
        if !answered || !request.starts_with("GET /w") {
            connection = None;
        }
    }
}
