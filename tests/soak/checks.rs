//! What is checked after each minute and at the end: stores, logs, WeChat's counts, processes, Redis.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use wxgate::sandbox::TokenKind;

use crate::model::{Excuse, Model, Stored};
use crate::pictures::Sum;
use crate::replica::Size;
use crate::support::S3Server;
use crate::token_calls::TokenCalls;
use crate::world::{CLIENT_SECRET, GATEWAYS, World};

/// The age at which a process no longer grows.
const SETTLED: Duration = Duration::from_secs(30);
/// How much it may grow after that.
const GROWTH: Size = Size {
    memory: 24 * 1024,
    files: 100,
};
/// What it may have until then.
const CEILING: Size = Size {
    memory: 128 * 1024,
    files: 250,
};

/// How many pages may go without a signature, beside one in a hundred: what three clients get in some five seconds.
const UNSIGNED: u64 = 300;

/// How many files a gateway has open at most once the load is over.
const FILES_AT_REST: u64 = 64;

/// The beginnings of the messages that say why WeChat was asked for a token, and what a gateway did without Redis.
const RELEVANT: [&str; 8] = [
    "wxgate 0",
    "draining",
    "issued",
    "renewed",
    "WeChat ",
    "another system",
    "a Redis",
    "Redis",
];

/// What the gateways have logged.
const LOG: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/soak.log");

pub struct Checks {
    world: Arc<World>,
    model: Arc<Model>,
    /// How many of the stored photos have been checked.
    seen: usize,
    /// Where all lines go, to be read if the run fails.
    log: File,
    /// The last minute's lines, which are searched again for secrets that became known since.
    last_lines: Vec<String>,
    token_calls: TokenCalls,
    /// What each process had once it was [`SETTLED`], by its id.
    settled: HashMap<u32, Size>,
}

impl Checks {
    pub fn new(world: &Arc<World>, model: &Arc<Model>) -> Self {
        Self {
            world: Arc::clone(world),
            model: Arc::clone(model),
            seen: 0,
            log: File::create(LOG).unwrap(),
            last_lines: Vec::new(),
            token_calls: TokenCalls::watch(world),
            settled: HashMap::new(),
        }
    }

    /// The checks that are possible while faults are active; a line about them.
    pub async fn minute(&mut self, minute: u64) -> String {
        let stored = self.model.stored_after(self.seen);
        self.seen += stored.len();
        self.pictures_are_there(&stored);
        let token_calls = self.token_calls.check(&self.model, minute);
        let sizes = self.sizes_are_flat().await;
        self.logs_are_clean().await;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.model.counts;
        format!(
            "minute {minute}: {} signatures ({} pages without), {} photos ({} tries more), {} SDK calls, {} failures excused, \
             {token_calls}; {}",
            count(&counts.signatures),
            count(&counts.unsigned_pages),
            count(&counts.photos),
            count(&counts.photo_retries),
            count(&counts.sdk_calls),
            count(&counts.excused),
            sizes.join(", "),
        )
    }

    /// The checks that are possible only without faults. Ends the gateways; a line about them.
    pub async fn end(&mut self, minutes: u64) -> String {
        let model = Arc::clone(&self.model);
        let counts = &model.counts;
        for counted in [&counts.signatures, &counts.photos, &counts.sdk_calls] {
            assert!(counted.load(Ordering::Relaxed) > 0, "the load made no requests");
        }
        let [unsigned, signed] =
            [&counts.unsigned_pages, &counts.signatures].map(|count| count.load(Ordering::Relaxed));
        assert!(
            unsigned <= UNSIGNED + signed / 100,
            "{unsigned} pages without a signature, {signed} with one"
        );
        for gateway in &self.world.gateways {
            let (_, _, size) = gateway.size().await.expect("it runs");
            assert!(size.files <= FILES_AT_REST, "it has {size} without load");
        }
        self.world.drains_without_remains().await;
        let stored = self.model.stored_after(0);
        self.pictures_are_there(&stored);
        let undisturbed = self.pictures_are_there_once(&stored);
        assert!(
            undisturbed * 10 >= stored.len(),
            "fewer than a tenth of the photos were undisturbed"
        );
        let disturbed = self.world.disturbed_connections();
        assert!(disturbed > 0, "no fault has met a connection to a store");
        self.no_parts_are_left();
        self.logs_are_clean().await;
        let failovers = counts.failovers.load(Ordering::Relaxed);
        assert!(minutes < 10 || failovers > 0, "Redis never failed over");
        format!(
            "{undisturbed} of {} photos without a fault that may store them twice; {failovers} failovers; {disturbed} connections \
             to stores met a fault",
            stored.len(),
        )
    }

    fn pictures_are_there(&self, stored: &[Stored]) {
        for photo in stored {
            if self.world.picture(&photo.url) != Some(photo.sum) {
                let what = format!("{} is not the photo that was sent", photo.url);
                self.model.violation(&what);
            }
        }
    }

    /// Every picture is a photo that was sent, and there once if no fault excuses two; how many are not excused.
    fn pictures_are_there_once(&self, stored: &[Stored]) -> usize {
        let mut copies: HashMap<Sum, usize> = HashMap::new();
        for sum in self.world.pictures() {
            *copies.entry(sum).or_default() += 1;
        }
        if copies.keys().any(|sum| !self.model.was_sent(sum)) {
            self.model.violation("a store holds a picture that was not sent");
        }
        let undisturbed = stored.iter().filter(|photo| photo.undisturbed);
        for photo in undisturbed.clone() {
            let copies = copies.get(&photo.sum).copied().unwrap_or(0);
            if copies != 1 {
                let what = format!("{} was stored {copies} times", photo.url);
                self.model.violation(&what);
            }
        }
        undisturbed.count()
    }

    /// No upload in parts was left behind, but by a gateway that was killed or that the store kept from removing it.
    fn no_parts_are_left(&self) {
        for (name, written) in self.world.parts() {
            let age = SystemTime::now().duration_since(written).unwrap_or_default();
            let written = Instant::now().checked_sub(age).unwrap_or(self.model.begun);
            let until = written + Duration::from_secs(15);
            let excused = self.model.excuses_between(Excuse::PartsLeft, written, until);
            self.model.failed(excused, &format!("{name} was left in the bucket"));
        }
    }

    /// No process grows once it has settled; the sizes, to be printed.
    async fn sizes_are_flat(&mut self) -> Vec<String> {
        let mut sizes = Vec::new();
        for index in 0..GATEWAYS {
            let Some((process, age, size)) = self.world.gateways[index].size().await else {
                sizes.push("down".to_owned());
                continue;
            };
            let limit = match self.settled.get(&process) {
                Some(settled) => *settled + GROWTH,
                None => CEILING,
            };
            if age >= SETTLED {
                self.settled.entry(process).or_insert(size);
            }
            if size.exceeds(limit) {
                self.model
                    .violation(&format!("gateway {index} has {size}, more than {limit}"));
            }
            sizes.push(format!("{size} after {} s", age.as_secs()));
        }
        sizes
    }

    /// No secret and no panic is in what the gateways have logged.
    async fn logs_are_clean(&mut self) {
        self.know_secrets();
        let secrets = self.model.secrets();
        let lines = self.world.take_logs().await;
        for line in &lines {
            writeln!(self.log, "{line}").unwrap();
        }
        for line in self.last_lines.iter().chain(&lines) {
            if secrets.iter().any(|secret| line.contains(secret.as_str())) {
                self.model.violation("a log holds a secret");
            }
        }
        for line in &lines {
            if line.contains("panic") {
                self.model.violation(line);
            }
        }
        self.last_lines = lines;
    }

    /// Fails if a promise is broken, and prints the relevant log lines of the last minute: on a CI machine nothing else
    /// is left of the run.
    pub fn assert_kept(&self, seed: u64) {
        let violations = self.model.violations();
        if violations.is_empty() {
            return;
        }
        let is_relevant = |line: &&String| {
            RELEVANT
                .iter()
                .any(|start| line.contains(&format!(r#""message":"{start}"#)))
        };
        let mut lines: Vec<&String> = self.last_lines.iter().filter(is_relevant).collect();
        lines.sort_by_key(|line| line.split_once(' ').map(|(_, line)| line));
        for line in lines {
            println!("gateway {line}");
        }
        panic!("seed {seed}: {violations:#?}");
    }

    fn know_secrets(&self) {
        let sandbox = &self.world.wechat.sandbox;
        for secret in [CLIENT_SECRET, S3Server::SECRET] {
            self.model.is_secret(secret);
        }
        for account in &sandbox.config().accounts {
            self.model.is_secret(account.secret.expose());
            let kinds = [TokenKind::Stable, TokenKind::Classic];
            let tokens = kinds.map(|kind| sandbox.current_token(&account.app_id, kind));
            let ticket = sandbox.current_ticket(&account.app_id);
            for credential in tokens.into_iter().chain([ticket]).flatten() {
                self.model.is_secret(credential.expose());
            }
        }
    }
}
