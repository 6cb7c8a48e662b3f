//! How load grows with gateways, accounts and remembered pictures: Redis commands, renewals, how soon a replica adopts
//! a new token, memory.
//!
//! `cargo bench --bench scale` starts gateways of its own, a redis-server and the sandbox on loopback; it takes some
//! eight minutes once it is built.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "its clients are not part of the gateway")]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests of `it`")]
mod support;

use std::fmt::Write;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wxgate::sandbox::{Api, Fault, Kill, SandboxConfig};

use support::{Gateway, GatewayBuilder, GatewayProcess, RedisServer, SandboxHost, accounts};

/// How long Redis is watched.
const WATCH: Duration = Duration::from_secs(20);
const ACCOUNTS: usize = 1000;
/// What WeChat takes to answer while they start.
const WECHAT_TAKES: Duration = Duration::from_millis(50);
const PICTURES: usize = 1_000_000;
/// How many tokens are invalidated in turn.
const KILLS: u64 = 3;

#[tokio::main]
async fn main() {
    println!(
        "| gateways | Redis commands/s, idle | token calls for the start | token calls for {KILLS} renewals | \
         a new token adopted by all others after, at most |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for gateways in [1, 2, 4] {
        replicas(gateways).await;
    }
    println!();
    many_accounts().await;
    println!();
    many_pictures().await;
}

fn builder(redis: &RedisServer) -> GatewayBuilder {
    Gateway::builder().redis(redis)
}

/// Redis commands per second without load.
async fn commands_per_second(redis: &RedisServer) -> f64 {
    let processed = async || {
        let stats: String = redis.command("INFO stats").await;
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    let (before, begun) = (processed().await, Instant::now());
    sleep(WATCH).await;
    // The first INFO, and the handshake of the second one's connection.
    (processed().await - before - 2.0).max(0.0) / begun.elapsed().as_secs_f64()
}

async fn replicas(number: usize) {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateways = GatewayProcess::start_many(&builder(&redis), &wechat, number).await;
    for gateway in &gateways {
        gateway.until_ready().await;
    }
    let at_start = token_calls(&wechat);
    let commands = commands_per_second(&redis).await;
    let before = token_calls(&wechat);
    let mut worst = Duration::ZERO;
    for _ in 0..KILLS {
        worst = worst.max(adoption(&gateways, &wechat).await);
    }
    // A needless second renewal of the last token would come within `adopt_interval`.
    sleep(Duration::from_secs(3)).await;
    let renewals = token_calls(&wechat) - before;
    let adopted = if number > 1 {
        format!("{:.1} s", worst.as_secs_f64())
    } else {
        String::new()
    };
    println!("| {number} | {commands:.1} | {at_start} | {renewals} | {adopted} |");
}

fn token_calls(wechat: &SandboxHost) -> u64 {
    wechat.sandbox.calls(Api::StableToken)
}

/// Invalidates the token, has the first gateway renew it, and measures how long the others use the old one: counted
/// from the call to WeChat, so a little too long.
async fn adoption(gateways: &[GatewayProcess], wechat: &SandboxHost) -> Duration {
    let app_id = wechat.account().app_id;
    let series = format!("wxgate_credential_expiry_timestamp_seconds{{app_id=\"{app_id}\",kind=\"access_token\"}}");
    // Tokens that die in quick succession are renewed with growing pauses.
    sleep(Duration::from_secs(20)).await;
    let (before, killed) = (token_calls(wechat), Instant::now());
    wechat.sandbox.kill_token(&app_id, Kill::default()).unwrap();
    let call_arrives = async {
        while token_calls(wechat) == before {
            assert!(killed.elapsed() < support::LIMIT, "it is never renewed");
            sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    };
    let (answer, begun) = tokio::join!(gateways[0].upload_new_photo(), call_arrives);
    assert_eq!(answer.code(), (200, 0));
    let renewed = gateways[0].metric(&series).await;
    for gateway in &gateways[1..] {
        while (gateway.metric(&series).await - renewed).abs() > 0.9 {
            assert!(begun.elapsed() < support::LIMIT, "it is never adopted");
            sleep(Duration::from_millis(20)).await;
        }
    }
    begun.elapsed()
}

async fn many_accounts() {
    let accounts = accounts(ACCOUNTS);
    let mut file = String::new();
    for account in &accounts {
        let (app_id, secret) = (&account.app_id, account.secret.expose());
        write!(file, "[[accounts]]\napp_id = \"{app_id}\"\napp_secret = \"{secret}\"\n").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.toml");
    std::fs::write(&path, file).unwrap();
    // Lives short enough to see renewals, which are due after three quarters of them.
    let life = Duration::from_mins(2);
    let wechat = SandboxHost::start(SandboxConfig {
        token_ttl: life,
        ticket_ttl: life,
        ..SandboxConfig::with_accounts(accounts)
    })
    .await;
    let redis = RedisServer::start().await;
    let delay = wechat.sandbox.inject(Fault::delay(WECHAT_TAKES));
    let begun = Instant::now();
    let settings = builder(&redis).variable("WXGATE_CONFIG", path.display());
    let gateway = GatewayProcess::start(&settings, &wechat).await;
    let listening = begun.elapsed();
    // `ready` means that each account holds a token and a ticket.
    gateway.until_it_says("ready").await;
    let ready = begun.elapsed();
    wechat.sandbox.remove_fault(delay);
    println!("{ACCOUNTS} accounts in one gateway, while WeChat takes {WECHAT_TAKES:?} to answer:");
    println!(
        "- listening after {} ms, every account ready after {:.1} s, {} MiB resident",
        listening.as_millis(),
        ready.as_secs_f64(),
        gateway.memory("VmRSS:") / 1024
    );
    println!("- Redis commands/s, idle: {:.0}", commands_per_second(&redis).await);
    let (mut most, mut renewed, mut last) = (0, 0, token_calls(&wechat));
    for _ in 0..150 {
        sleep(Duration::from_secs(1)).await;
        let calls = token_calls(&wechat);
        most = most.max(calls - last);
        renewed += calls - last;
        last = calls;
    }
    println!("- token calls in 150 s, with lives of two minutes: {renewed}; in the busiest second {most}");
}

async fn many_pictures() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let memory = async || {
        let info: String = redis.command("INFO memory").await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    let before = memory().await;
    let mut connection = redis.connection().await;
    for batch in 0..PICTURES / 10_000 {
        let mut pipe = redis::pipe();
        for number in batch * 10_000..(batch + 1) * 10_000 {
            // As long as WeChat's ids and a store's URLs are.
            let key = format!("wxgate:media:{app_id}:{number:0>64}");
            let url = format!("https://images.example.com/{number:0>32}.jpg");
            pipe.cmd("SET").arg(key).arg(url).arg("EX").arg(72 * 3600).ignore();
        }
        pipe.query_async::<()>(&mut connection).await.unwrap();
    }
    let each = (memory().await - before) / PICTURES;
    let gateway = GatewayProcess::start(&builder(&redis), &wechat).await;
    gateway.until_ready().await;
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
    println!("{PICTURES} remembered pictures:");
    println!("- {each} bytes of Redis each");
    println!(
        "- an upload meanwhile: {:.2} ms",
        begun.elapsed().as_secs_f64() * 1e3 / 200.0
    );
}
