//! A steady load below the limit, to measure single requests. Each request has a scheduled time, from which its latency
//! counts, so a server that stalls can't hide the requests that had to wait.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Latencies in milliseconds of `rate` requests a second over `connections`, for `time`: p50 and p99.
///
/// It keeps its processor busy all the time, since timers are too coarse for microseconds.
pub fn run(url: &str, path: &str, connections: u32, rate: f64, time: Duration) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let step = Duration::from_secs_f64(f64::from(connections) / rate);
    let mut all = runtime.block_on(async {
        let start = Instant::now() + Duration::from_millis(50);
        let users = (0..connections).map(|number| {
            let first = start + step * number / connections;
            tokio::spawn(user(url.to_owned(), request.clone(), first, step, start + time))
        });
        let users: Vec<_> = users.collect();
        let mut all = Vec::new();
        for user in users {
            all.extend(user.await.unwrap());
        }
        all
    });
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() * 99 / 100])
}

async fn user(url: String, request: String, first: Instant, step: Duration, end: Instant) -> Vec<f64> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0; 4096];
    let (mut due, mut latencies) = (first, Vec::new());
    while due < end {
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        stream.write_all(request.as_bytes()).await.unwrap();
        // The answers are short: each arrives in one piece, and ends its JSON.
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200") && answer[..length].ends_with(b"}"));
        latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        due += step;
    }
    latencies
}
