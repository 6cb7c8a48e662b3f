//! The maximum load: wrk.

use std::process::Stdio;

use crate::processes::{OTHER_CPU, pinned};

/// wrk's results.
pub struct Seen {
    /// Requests per second.
    pub rate: f64,
    /// Requests.
    pub requests: f64,
    /// Median latency, in milliseconds.
    pub p50: f64,
    /// Its 99th percentile, in milliseconds.
    pub p99: f64,
}

/// Asks `url` over `connections` for `seconds`; every answer must be a 2xx. With `uploads`, the script
/// that makes the requests and its environment.
pub fn run(url: &str, connections: usize, seconds: u32, uploads: Option<(&str, &[(&str, String)])>) -> Seen {
    let mut command = pinned(OTHER_CPU, "wrk");
    command.args(["-t1", "--latency", "--timeout", "20s"]);
    command.arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
    if let Some((script, environment)) = uploads {
        command.args(["-s", script]).envs(environment.iter().cloned());
    }
    let output = command.arg(url).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let line = |head: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(head));
        line.unwrap_or_else(|| panic!("wrk printed no {head}: {text}")).trim()[head.len()..]
            .trim()
            .to_owned()
    };
    let requests = text.lines().find(|line| line.contains(" requests in ")).unwrap();
    Seen {
        rate: line("Requests/sec:").parse().unwrap(),
        requests: requests.split_whitespace().next().unwrap().parse().unwrap(),
        p50: milliseconds(&line("50%")),
        p99: milliseconds(&line("99%")),
    }
}

fn milliseconds(text: &str) -> f64 {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let factor = match &text[at..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        unit => panic!("a latency in {unit}"),
    };
    text[..at].parse::<f64>().unwrap() * factor
}
