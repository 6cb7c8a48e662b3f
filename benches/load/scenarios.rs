//! What is measured, and how it is checked before a clock runs.

use std::time::{Duration, Instant};

use crate::processes::{Server, get, redis_commands, upload};
use crate::report::{Report, median};
use crate::world::TICKET;
use crate::{steady, wrk};

const ROUND_SECONDS: u32 = 3;
const CONNECTIONS: usize = 64;
/// A page's URL as WeChat makes it when somebody shares the page.
const PAGE: &str = "https://h5.example.com/activity/detail?id=20261122&from=singlemessage&isappinstalled=0";

/// Rounds of each case, besides the one that warms up; fewer for a first look.
fn rounds() -> usize {
    std::env::var("BENCH_ROUNDS").map_or(7, |rounds| rounds.parse().unwrap())
}

/// From the start of the process to the first 200 of `/readyz`, and the memory it then has.
pub fn start(report: &mut Report) {
    let (world, redis) = (Server::role("world", ""), Server::redis());
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let gateway = Server::wxgate(&world.url, &redis.url, &[]);
        gateway.ready();
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        memory.push(gateway.memory("VmRSS"));
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    report.figure("ready after start, median", median(&times), "ms");
    report.figure("ready after start, worst of 20", worst, "ms");
    report.figure("idle memory", median(&memory), "MiB");
}

/// `GET /wechat/jsSDK`.
pub fn signing(report: &mut Report) {
    let (world, redis) = (Server::role("world", ""), Server::redis());
    let domains = [("WXGATE__ACCOUNTS__0__JS_DOMAINS", "example.com")];
    let gateway = Server::wxgate(&world.url, &redis.url, &domains);
    gateway.ready();
    let path = format!("/wechat/jsSDK?url={}", encoded(PAGE));
    let body = signed_body(&gateway, &path);
    let constant = Server::role("constant", &body);
    let plain = Server::role("plain-signing", "");
    assert_eq!(
        get(&constant.url, &path).unwrap().split("\r\n\r\n").nth(1).unwrap(),
        body
    );
    signed_body(&plain, &path);

    let quiet = commands_per_second(&redis, || std::thread::sleep(Duration::from_secs(10)));
    let before = gateway.memory("VmRSS");
    let servers = [
        ("bare constant", &constant),
        ("bare signing", &plain),
        ("wxgate", &gateway),
    ];
    let mut signed = 0.0;
    let mut rows: Vec<Vec<wrk::Seen>> = servers.iter().map(|_| Vec::new()).collect();
    let mut cpu: Vec<Vec<f64>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds() {
        for (row, (_, server)) in servers.iter().enumerate() {
            let spent = server.cpu_seconds();
            let seen = wrk::run(&format!("{}{path}", server.url), CONNECTIONS, ROUND_SECONDS, None);
            signed += if row == 2 { seen.requests } else { 0.0 };
            // The first round only warms up.
            if round > 0 {
                cpu[row].push((server.cpu_seconds() - spent) * 1e6 / seen.requests);
                rows[row].push(seen);
            }
        }
        eprintln!("signing: round {round} of {}", rounds());
    }
    let half = median(&rows[0].iter().map(|seen| seen.rate).collect::<Vec<_>>()) / 2.0;
    let mut steady: Vec<Vec<(f64, f64)>> = servers.iter().map(|_| Vec::new()).collect();
    // Many short turns: what p99 shows is mostly the machine's own stalls, and they must hit all alike.
    for _ in 0..rounds() * 4 {
        for (row, (_, server)) in servers.iter().enumerate() {
            steady[row].push(steady::run(&server.url, &path, 64, half, Duration::from_millis(500)));
        }
    }
    for (row, (name, server)) in servers.iter().enumerate() {
        report.row(
            "signing, 64 connections",
            name,
            &rows[row],
            &cpu[row],
            server.memory("VmRSS"),
        );
    }
    for (row, (name, _)) in servers.iter().enumerate() {
        let (p50, p99): (Vec<f64>, Vec<f64>) = steady[row].iter().copied().unzip();
        let ratios: Vec<f64> = p99.iter().zip(&steady[0]).map(|(ours, bare)| ours / bare.1).collect();
        report.figure(&format!("{name}: p50 at {half:.0} requests/s"), median(&p50), "ms");
        report.figure(&format!("{name}: p99 at {half:.0} requests/s"), median(&p99), "ms");
        report.figure(
            &format!("{name}: its ratio to the bare constant's"),
            median(&ratios),
            "",
        );
    }
    while signed < 1e6 {
        signed += wrk::run(&format!("{}{path}", gateway.url), CONNECTIONS, ROUND_SECONDS, None).requests;
    }
    report.figure(
        "memory gained over a million signatures",
        gateway.memory("VmRSS") - before,
        "MiB",
    );
    let load = || {
        wrk::run(&format!("{}{path}", gateway.url), CONNECTIONS, 10, None);
    };
    report.figure("Redis commands/s, no load", quiet, "");
    report.figure("Redis commands/s, full load", commands_per_second(&redis, load), "");
}

/// `POST /p/active/weChatOa/upload`.
pub fn uploads(report: &mut Report) {
    let (world, redis) = (Server::role("world", ""), Server::redis());
    let gateway = Server::wxgate(&world.url, &redis.url, &[]);
    let forgetful = [("WXGATE__MEDIA__REMEMBER_FOR", "0s")];
    let forgetful = Server::wxgate(&world.url, &redis.url, &forgetful);
    gateway.ready();
    forgetful.ready();
    let pipe = Server::role("pipe", &world.url);
    let pipe_once = Server::role("pipe-once", &format!("{} {}", world.url, redis.url));
    let idle = gateway.memory("VmRSS");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/upload.lua");
    let servers = [
        ("bare pipe", &pipe),
        ("bare pipe, stored once", &pipe_once),
        ("wxgate", &gateway),
        ("wxgate, nothing remembered", &forgetful),
    ];
    for (size, name) in [(200_000, "200 KB"), (2_000_000, "2 MB"), (8_000_000, "8 MB")] {
        for (_, server) in &servers {
            check_upload(server, size);
        }
        for at_once in [8, 32] {
            let mut rows: Vec<Vec<wrk::Seen>> = servers.iter().map(|_| Vec::new()).collect();
            let mut cpu: Vec<Vec<f64>> = servers.iter().map(|_| Vec::new()).collect();
            for round in 0..=rounds() {
                for (row, (_, server)) in servers.iter().enumerate() {
                    let spent = server.cpu_seconds();
                    let environment = [
                        ("BENCH_PICTURE_BYTES", size.to_string()),
                        ("BENCH_ROUND", format!("{at_once}r{round}")),
                    ];
                    let url = format!("{}/p/active/weChatOa/upload", server.url);
                    let seen = wrk::run(&url, at_once, ROUND_SECONDS, Some((script, &environment)));
                    if round > 0 {
                        cpu[row].push((server.cpu_seconds() - spent) * 1e6 / seen.requests);
                        rows[row].push(seen);
                    }
                }
                eprintln!("uploads: {name}, {at_once} at once, round {round} of {}", rounds());
            }
            for (row, (server_name, server)) in servers.iter().enumerate() {
                let case = format!("{name}, {at_once} at once");
                report.row(&case, server_name, &rows[row], &cpu[row], server.memory("VmHWM"));
            }
        }
    }
    report.figure("wxgate, uploads: idle memory", idle, "MiB");
    report.figure("wxgate, uploads: peak above it", gateway.memory("VmHWM") - idle, "MiB");
}

/// The body of a signature that was checked.
fn signed_body(server: &Server, path: &str) -> String {
    let answer = get(&server.url, path).unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{answer}"));
    let text = |name: &str| parsed["data"][name].as_str().unwrap();
    let signature = wxgate::jssdk::sign(TICKET, text("nonceStr"), text("timestamp"), PAGE);
    assert_eq!(text("signature"), signature);
    body
}

/// Uploads once, and sees that the store got the whole picture, in its multipart wrapping or without.
fn check_upload(server: &Server, size: usize) {
    let answer = upload(&server.url, size).unwrap();
    let stored = answer
        .split("http://images.example.com/")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    let stored: usize = stored.unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
    assert!((size..size + 1024).contains(&stored), "{stored} of {size} bytes");
}

fn encoded(url: &str) -> String {
    percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn commands_per_second(redis: &Server, meanwhile: impl FnOnce()) -> f64 {
    let (started, before) = (Instant::now(), redis_commands(redis));
    meanwhile();
    (redis_commands(redis) - before) / started.elapsed().as_secs_f64()
}
