//! A company's day in short: three gateways, five systems that use them, and an old system that still fetches classic
//! tokens itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wxgate::sandbox::{Api, SandboxConfig};
use wxgate::secret::Secret;

use crate::support::{Caller, Gateway, RedisServer, SandboxHost, token_key, until};

/// A token's life; WeChat's is 1200 times as long. A gateway that pauses for three seconds on a busy machine still sees
/// a rejection before the token is renewed anyway.
const LIFETIME: Duration = Duration::from_secs(6);

/// How often the old system fetches a token.
const FOREIGN_TOKENS: usize = 4;

/// How an SDK handles its token. Both kinds ask again when it is about to expire or was rejected.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Caches it until shortly before its end, and asks `/cgi-bin/token`.
    Classic,
    /// Asks `/cgi-bin/stable_token` before each call, as is advised for systems without a cache.
    Stable,
}

/// A system of the company.
struct Company {
    gateways: Vec<Caller>,
    calls: AtomicUsize,
    failures: std::sync::Mutex<Vec<String>>,
    stop: CancellationToken,
}

impl Company {
    fn fails(&self, what: &str, answer: &Value, began: Instant) {
        let failure = format!("{what}: {answer} after {:?}", began.elapsed());
        self.failures.lock().unwrap().push(failure);
    }

    async fn system(self: Arc<Self>, kind: Kind, number: usize) {
        let account = self.gateways[0].wechat.account();
        let secret = format!("the-secret-of-system-{number}");
        let mut cached: Option<(String, Instant)> = None;
        let mut turn = number;
        while !self.stop.is_cancelled() {
            // As behind a load balancer.
            turn += 1;
            let gateway = &self.gateways[turn % self.gateways.len()];
            let kept = cached
                .take()
                .filter(|(_, ends)| kind == Kind::Classic && Instant::now() < *ends);
            let token = if let Some(kept) = kept {
                kept
            } else {
                let asked = Instant::now();
                let answer = match kind {
                    Kind::Classic => gateway.asks_for_token(account.app_id.as_str(), &secret).await,
                    Kind::Stable => gateway.asks_for_stable_token(false).await,
                };
                let Some(token) = answer.body["access_token"].as_str() else {
                    self.fails(&format!("system {number} got no token"), &answer.body, asked);
                    continue;
                };
                let life = Duration::from_secs(answer.body["expires_in"].as_u64().unwrap());
                (token.to_owned(), asked + life.mul_f64(0.9))
            };
            let called = Instant::now();
            let answer = if turn.is_multiple_of(2) {
                gateway.calls_wechat(&token.0).await
            } else {
                let path = format!("/cgi-bin/message/custom/send?access_token={}", token.0);
                let message = gateway.internal_request("POST", &path).json(&json!({ "touser": "o1" }));
                gateway.send(message).await
            };
            self.calls.fetch_add(1, Ordering::Relaxed);
            // Errors of any kind count, also those that an SDK would retry.
            if answer.body["errcode"].as_i64().unwrap_or(0) == 0 && answer.status == 200 {
                cached = Some(token);
            } else {
                let left = token.1.saturating_duration_since(called);
                self.fails(
                    &format!("system {number}'s call, with {left:?} left of its token"),
                    &answer.body,
                    called,
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systems_sharing_an_account_have_no_failed_call_in_a_day() {
    let redis = RedisServer::start().await;
    let config = SandboxConfig {
        token_ttl: LIFETIME,
        ..SandboxConfig::default()
    };
    let wechat = SandboxHost::start(config).await;
    let app_id = wechat.account().app_id;
    let client = |number| {
        format!("[[internal.clients]]\nname = \"system-{number}\"\nsecret = \"the-secret-of-system-{number}\"\n")
    };
    let clients = [0, 1, 2, 3, 4].map(client).concat();
    let start = || {
        let builder = Gateway::builder()
            .wechat(&wechat)
            .redis(&redis)
            .classic()
            .file(&clients);
        builder.set("credentials.adopt_interval", "100ms").start()
    };
    let gateways = [start().await, start().await, start().await];
    for gateway in &gateways {
        gateway.until_ready().await;
    }

    let company = Arc::new(Company {
        gateways: gateways.iter().map(|gateway| Caller::clone(gateway)).collect(),
        calls: AtomicUsize::new(0),
        failures: std::sync::Mutex::default(),
        stop: CancellationToken::new(),
    });
    let kinds = [Kind::Classic, Kind::Stable, Kind::Classic, Kind::Stable, Kind::Classic];
    let systems: Vec<_> = (0..5)
        .map(|number| tokio::spawn(Arc::clone(&company).system(kinds[number], number)))
        .collect();

    // The old system: now and then it fetches a token too, early in the life of one of ours.
    let mut killed = Vec::new();
    for _ in 0..FOREIGN_TOKENS {
        let token = redis.value(&token_key(&app_id)).await.unwrap_or_default();
        let next = async || redis.value(&token_key(&app_id)).await.is_some_and(|now| now != token);
        until("the gateways renew", next).await;
        let ours = Secret::new(redis.value(&token_key(&app_id)).await.unwrap());
        wechat.sandbox.foreign_token(&app_id).unwrap();
        killed.push(ours.fingerprint());
        until("it is noticed", async || {
            let journal = redis.journal_entries(&app_id).await;
            journal
                .iter()
                .any(|entry| entry["event"] == "foreign_invalidation" && entry["fingerprint"] == ours.fingerprint())
        })
        .await;
    }
    company.stop.cancel();
    for system in systems {
        system.await.unwrap();
    }

    let failures = std::mem::take(&mut *company.failures.lock().unwrap());
    assert!(
        failures.is_empty(),
        "{} failed calls: {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    let calls = company.calls.load(Ordering::Relaxed);
    assert!(calls > 100, "{calls} calls are too few");
    let journal = redis.journal_entries(&app_id).await;
    let foreign: Vec<_> = journal
        .iter()
        .filter(|entry| entry["event"] == "foreign_invalidation")
        .collect();
    let reported: Vec<_> = foreign.iter().map(|entry| entry["fingerprint"].clone()).collect();
    assert_eq!(reported, killed, "each is reported once");
    assert!(
        foreign
            .iter()
            .all(|entry| humantime::parse_rfc3339(&entry["time"]).is_ok())
    );
    // One for each life, and one for each token that the old system replaced.
    let tokens = wechat.sandbox.calls(Api::Token);
    assert!(
        (4..=20).contains(&tokens),
        "{tokens} tokens for {FOREIGN_TOKENS} replaced ones"
    );
}
