//! What is measured. The answers are checked before anything is timed.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::processes::{OTHER_GATEWAY, Server, get, redis_commands, upload};
use crate::report::{Report, Turns, median};
use crate::world::TICKET;
use crate::{steady, wrk};

const ROUND_SECONDS: u32 = 3;
const CONNECTIONS: usize = 64;
/// Longer than anything that is still running after a turn.
const REST: Duration = Duration::from_millis(500);
/// The URL of a shared page, with the parameters that WeChat appends.
const PAGE: &str = "https://h5.example.com/activity/detail?id=20261122&from=singlemessage&isappinstalled=0";

/// Rounds of each case; fewer for a first look.
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
        let gateway = Server::wxgate(&world.url, &redis.url, &[]).once_ready();
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
    let wxgate = || Server::wxgate(&world.url, &redis.url, &domains).once_ready();
    let gateway = wxgate();
    let path = format!("/wechat/jsSDK?url={}", encoded(PAGE));
    let body = signed_body(&gateway, &path);
    let other = |binary: &Path| Server::gateway(binary, &world.url, &redis.url, &domains).once_ready();
    let servers = with_other_binary(
        &other,
        vec![
            ("bare constant", Box::new(|| Server::role("constant", &body))),
            ("bare signing", Box::new(|| Server::role("plain-signing", ""))),
            ("wxgate", Box::new(&wxgate)),
        ],
    );
    let constant = get(&(servers[0].1)().url, &path).unwrap();
    assert_eq!(constant.split("\r\n\r\n").nth(1).unwrap(), body);
    signed_body(&(servers[1].1)(), &path);

    let quiet = commands_per_second(&redis, || std::thread::sleep(Duration::from_secs(10)));
    let sign = |server: &Server, seconds| wrk::run(&format!("{}{path}", server.url), CONNECTIONS, seconds, None);
    let results = take_turns(report, "signing, 64 connections", &servers, |server, _, seconds| {
        sign(server, seconds)
    });
    let ratios = results[2].rates().into_iter().zip(results[1].rates());
    let ratios: Vec<f64> = ratios.map(|(ours, bare)| ours / bare).collect();
    report.figure("wxgate's ratio to bare signing", median(&ratios), "");
    answer_times(report, &servers, &path, median(&results[0].rates()) / 2.0);
    memory_of_a_million(report, &gateway, |seconds| sign(&gateway, seconds));
    let load = || {
        sign(&gateway, 10);
    };
    report.figure("Redis commands/s, no load", quiet, "");
    report.figure("Redis commands/s, full load", commands_per_second(&redis, load), "");
}

/// What single requests take at `rate`.
fn answer_times(report: &mut Report, servers: &[Contender<'_>], path: &str, rate: f64) {
    let alive: Vec<Server> = servers.iter().map(|(_, start)| start()).collect();
    let mut times: Vec<Vec<(f64, f64)>> = servers.iter().map(|_| Vec::new()).collect();
    // Many short turns: p99 shows mostly the machine's own stalls, which must affect all servers alike.
    for _ in 0..rounds() * 4 {
        for (times, server) in times.iter_mut().zip(&alive) {
            times.push(steady::run(&server.url, path, 64, rate, Duration::from_millis(500)));
        }
    }
    for (row, (name, _)) in servers.iter().enumerate() {
        let (p50, p99): (Vec<f64>, Vec<f64>) = times[row].iter().copied().unzip();
        let ratios: Vec<f64> = p99.iter().zip(&times[0]).map(|(ours, bare)| ours / bare.1).collect();
        report.figure(&format!("{name}: p50 at {rate:.0} requests/s"), median(&p50), "ms");
        report.figure(&format!("{name}: p99 at {rate:.0} requests/s"), median(&p99), "ms");
        report.figure(
            &format!("{name}: its ratio to the bare constant's"),
            median(&ratios),
            "",
        );
    }
}

fn memory_of_a_million(report: &mut Report, gateway: &Server, sign: impl Fn(u32) -> wrk::Seen) {
    let before = gateway.memory("VmRSS");
    let mut signed = 0.0;
    while signed < 1e6 {
        signed += sign(ROUND_SECONDS).requests;
    }
    let gained = gateway.memory("VmRSS") - before;
    report.figure("memory gained over a million signatures", gained, "MiB");
}

/// `POST /p/active/weChatOa/upload`.
pub fn uploads(report: &mut Report) {
    let (world, redis) = (Server::role("world", ""), Server::redis());
    let wxgate = || Server::wxgate(&world.url, &redis.url, &[]).once_ready();
    let forgetful = [("WXGATE__MEDIA__REMEMBER_FOR", "0s")];
    let other = |binary: &Path| Server::gateway(binary, &world.url, &redis.url, &[]).once_ready();
    let servers = with_other_binary(
        &other,
        vec![
            ("bare pipe", Box::new(|| Server::role("pipe", &world.url))),
            (
                "bare pipe, stored once",
                Box::new(|| Server::role("pipe-once", &format!("{} {}", world.url, redis.url))),
            ),
            ("wxgate", Box::new(&wxgate)),
            (
                "wxgate, nothing remembered",
                Box::new(|| Server::wxgate(&world.url, &redis.url, &forgetful).once_ready()),
            ),
        ],
    );
    // One process for all cases, to measure its peak memory.
    let lasting = wxgate();
    let idle = lasting.memory("VmRSS");
    for (size, name) in [(200_000, "200 KB"), (2_000_000, "2 MB"), (8_000_000, "8 MB")] {
        for (_, start) in &servers {
            check_upload(&start(), size);
        }
        for at_once in [8, 32] {
            let case = format!("{name}, {at_once} at once");
            let upload = |server: &Server, turn: &str, seconds| upload_many(server, size, at_once, turn, seconds);
            take_turns(report, &case, &servers, upload);
            upload(&lasting, "lasting", ROUND_SECONDS);
        }
    }
    report.figure("wxgate, uploads: idle memory", idle, "MiB");
    report.figure("wxgate, uploads: peak above it", lasting.memory("VmHWM") - idle, "MiB");
}

/// Uploads pictures of `size` bytes. Their media ids contain `turn`: calls with different turns never name the same
/// picture, since one that is stored already would not be fetched again.
fn upload_many(server: &Server, size: usize, at_once: usize, turn: &str, seconds: u32) -> wrk::Seen {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/upload.lua");
    let environment = [
        ("BENCH_PICTURE_BYTES", size.to_string()),
        ("BENCH_ROUND", format!("{at_once}{turn}")),
    ];
    let url = format!("{}/p/active/weChatOa/upload", server.url);
    wrk::run(&url, at_once, seconds, Some((script, &environment)))
}

/// A server's name, and how to start it.
type Contender<'a> = (&'static str, Box<dyn Fn() -> Server + 'a>);

/// `servers`, and the binary that `BENCH_OTHER` names if it does.
fn with_other_binary<'a>(start: &'a dyn Fn(&Path) -> Server, mut servers: Vec<Contender<'a>>) -> Vec<Contender<'a>> {
    if let Some(binary) = OTHER_GATEWAY.as_deref() {
        servers.push(("wxgate, other binary", Box::new(move || start(binary))));
    }
    servers
}

/// Lets `servers` take turns under `load`, which gets the turn's name and its seconds, and reports them.
///
/// Each turn is a new process. A process's memory layout is random, stays while the process lives, and changes its
/// speed by up to a tenth either way.
fn take_turns(
    report: &mut Report,
    case: &str,
    servers: &[Contender<'_>],
    load: impl Fn(&Server, &str, u32) -> wrk::Seen,
) -> Vec<Turns> {
    let mut results: Vec<Turns> = servers.iter().map(|_| Turns::default()).collect();
    for round in 1..=rounds() {
        for ((_, start), turns) in servers.iter().zip(&mut results) {
            let server = start();
            load(&server, &format!("r{round}warm"), 1);
            // wxgate finishes uploads whose callers have gone.
            std::thread::sleep(REST);
            let spent = server.cpu_seconds();
            let seen = load(&server, &format!("r{round}"), ROUND_SECONDS);
            turns.cpu.push((server.cpu_seconds() - spent) * 1e6 / seen.requests);
            turns.memory = server.memory("VmHWM").max(turns.memory);
            turns.seen.push(seen);
        }
        eprintln!("{case}: round {round} of {}", rounds());
    }
    for ((name, _), turns) in servers.iter().zip(&results) {
        report.row(case, name, turns);
    }
    results
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
