//! The cost of abuse: idle connections, slow heads and a flood of bad input, each with the memory of the gateway and
//! the latency of good signing requests meanwhile.
//!
//! `cargo bench --bench abuse` starts `wxgate serve --sandbox` on loopback and does it all there. The
//! clients share the processors with the gateway, so times compare with the quiet line of the same run
//! and with nothing else. It fails if a request is answered with another status than it should be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// As many as a limit of 20,000 open files allows, so that none has to wait or is cut early.
const IDLE: usize = 5_000;
const DRIPPING: usize = 5_000;
const FLOODING: usize = 64;
/// How long good requests are watched each time.
const WATCH: Duration = Duration::from_secs(6);
/// The number of good clients, each with a pause between its requests.
const PAGES: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);

const SIGN: &str = "GET /wechat/jsSDK?url=https%3A%2F%2Fa.cn%2Fp HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::main]
async fn main() {
    wxgate::http::serve::raise_open_files();
    let gateway = Gateway::start();
    println!("| meanwhile | RSS, KiB | good requests | failed | p50, ms | p99, ms | |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    good_requests(gateway.address).await;
    let mut failed = watch(&gateway, "quiet", "").await;
    failed += watch_idle_connections(&gateway).await;
    failed += watch_dripped_heads(&gateway).await;
    failed += watch_flood(&gateway).await;
    sleep(Duration::from_secs(2)).await;
    failed += watch(&gateway, "quiet again", "").await;
    assert_eq!(failed, 0, "requests were not answered as they should be");
}

/// Prints how good requests fare; how many of them failed.
async fn watch(gateway: &Gateway, what: &str, note: &str) -> usize {
    let Watched { mut times, failed } = good_requests(gateway.address).await;
    assert!(!times.is_empty(), "{what}: no good request was answered with 200");
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    let memory = gateway.memory();
    println!(
        "| {what} | {memory} | {} | {failed} | {:.2} | {:.2} | {note} |",
        times.len(),
        at(50),
        at(99)
    );
    failed
}

fn print_note(gateway: &Gateway, note: &str) {
    println!("| and then | {} | | | | | {note} |", gateway.memory());
}

async fn watch_idle_connections(gateway: &Gateway) -> usize {
    let before = gateway.memory();
    let idle = idle_connections(gateway.address).await;
    // By then hyper has freed its buffers.
    sleep(Duration::from_secs(1)).await;
    let each = gateway.memory().saturating_sub(before) * 1024 / IDLE;
    let what = format!("{IDLE} idle connections");
    let failed = watch(gateway, &what, &format!("{each} bytes a connection")).await;
    let mut alive = 0;
    for mut connection in idle {
        alive += usize::from(ask(&mut connection, SIGN).await == Some(200));
    }
    print_note(gateway, &format!("{alive} of them still work"));
    failed + IDLE - alive
}

async fn watch_dripped_heads(gateway: &Gateway) -> usize {
    let stop = CancellationToken::new();
    for _ in 0..DRIPPING {
        tokio::spawn(stop.clone().run_until_cancelled_owned(drip(gateway.address)));
    }
    sleep(Duration::from_secs(5)).await;
    let failed = watch(gateway, &format!("{DRIPPING} heads dripped"), "").await;
    stop.cancel();
    failed
}

async fn watch_flood(gateway: &Gateway) -> usize {
    let (stop, counts) = (CancellationToken::new(), Arc::<FloodCounts>::default());
    for number in 0..FLOODING {
        let flood = flood(gateway.address, number, Arc::clone(&counts));
        tokio::spawn(stop.clone().run_until_cancelled_owned(flood));
    }
    let start = Instant::now();
    let failed = watch(gateway, "a flood of bad input", "").await;
    let seconds = start.elapsed().as_secs_f64();
    stop.cancel();
    let per_second = |count: &AtomicU32| f64::from(count.load(Ordering::Relaxed)) / seconds;
    print_note(
        gateway,
        &format!(
            "a second: {:.0} refused with the right status, {:.0} of the large heads cut without an answer",
            per_second(&counts.refused),
            per_second(&counts.cut)
        ),
    );
    let wrong = counts.wrong.lock().unwrap();
    for (what, count) in wrong.iter() {
        print_note(gateway, &format!("FAILED: {count} times {what}"));
    }
    failed + wrong.values().sum::<usize>()
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

/// Sends a request and reads an answer, which is taken to come in one piece; its status, or `None` if the connection
/// ends without one.
async fn ask(connection: &mut TcpStream, request: &str) -> Option<u16> {
    // A large head may be refused before all of it is sent.
    let _ = connection.write_all(request.as_bytes()).await;
    let mut answer = [0; 4096];
    let length = connection.read(&mut answer).await.ok()?;
    let status = answer[..length].strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// The results of good requests.
#[derive(Default)]
struct Watched {
    /// How long each took that was answered with 200, first connection included.
    times: Vec<Duration>,
    /// How many had another answer or none.
    failed: usize,
}

async fn good_requests(address: SocketAddr) -> Watched {
    let end = Instant::now() + WATCH;
    let pages = (0..PAGES).map(|_| tokio::spawn(page(address, end)));
    let mut all = Watched::default();
    for page in futures_util::future::join_all(pages).await {
        let page = page.unwrap();
        all.times.extend(page.times);
        all.failed += page.failed;
    }
    all
}

async fn page(address: SocketAddr, end: Instant) -> Watched {
    let (mut seen, mut connection) = (Watched::default(), None);
    while Instant::now() < end {
        let start = Instant::now();
        if connection.is_none() {
            connection = TcpStream::connect(address).await.ok();
        }
        let status = match &mut connection {
            Some(open) => ask(open, SIGN).await,
            None => None,
        };
        if status == Some(200) {
            seen.times.push(start.elapsed());
        } else {
            seen.failed += 1;
            connection = None;
        }
        sleep(PAUSE).await;
    }
    seen
}

async fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    let mut connections = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut connection, SIGN).await, Some(200));
        connections.push(connection);
    }
    connections
}

/// A head that never ends, a byte a second.
async fn drip(address: SocketAddr) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let mut sent = connection.write_all(b"GET /wechat/jsSDK HTTP/1.1\r\nx: ").await;
    while sent.is_ok() {
        sleep(Duration::from_secs(1)).await;
        sent = connection.write_all(b"x").await;
    }
}

/// The results of bad requests.
#[derive(Default)]
struct FloodCounts {
    /// Answered with the status that they should have.
    refused: AtomicU32,
    /// Large heads whose connection was closed while they were still being sent, so that the answer was lost.
    cut: AtomicU32,
    /// All others, by request and answer.
    wrong: Mutex<BTreeMap<String, usize>>,
}

const LARGE_HEAD: &str = "a head of 100 kB";

/// Bad requests, each with its description and the status of its refusal.
fn bad_requests() -> [(&'static str, u16, String); 7] {
    let sign = |url: &str| format!("GET /wechat/jsSDK?url={url} HTTP/1.1\r\nhost: a\r\n\r\n");
    let upload = |rest: &str| format!("POST /p/active/weChatOa/upload HTTP/1.1\r\nhost: a\r\ncontent-type: {rest}");
    [
        ("a URL that is not UTF-8", 400, sign("%FF")),
        ("a URL of percent signs", 400, sign(&"%25".repeat(3_000))),
        (
            "half a JSON body",
            400,
            upload("application/json\r\ncontent-length: 9\r\n\r\n{\"mediaId"),
        ),
        ("a body of text", 415, upload("text/plain\r\ncontent-length: 0\r\n\r\n")),
        ("no HTTP", 400, "\u{16}\u{3}\u{1} no HTTP\r\n\r\n".to_owned()),
        (
            LARGE_HEAD,
            431,
            format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        ),
        (
            "an unknown path",
            404,
            "GET /nope HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ),
    ]
}

/// One bad request after the other, as fast as they are refused.
async fn flood(address: SocketAddr, number: usize, counts: Arc<FloodCounts>) {
    let mut connection = None;
    for (what, expected, request) in bad_requests().iter().cycle().skip(number) {
        let open = match &mut connection {
            Some(open) => open,
            // Connecting fails if all local ports are in use; they are free again within seconds.
            none => {
                let Ok(open) = TcpStream::connect(address).await else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                };
                none.insert(open)
            }
        };
        let status = ask(open, request).await;
        match status {
            Some(status) if status == *expected => _ = counts.refused.fetch_add(1, Ordering::Relaxed),
            None if *what == LARGE_HEAD => _ = counts.cut.fetch_add(1, Ordering::Relaxed),
            other => {
                let answer = other.map_or("without an answer".to_owned(), |status| {
                    format!("answered with {status}")
                });
                let mut wrong = counts.wrong.lock().unwrap();
                *wrong.entry(format!("{what} {answer}")).or_default() += 1;
            }
        }
        if status.is_none() || !request.starts_with("GET /w") {
            connection = None;
        }
    }
}
