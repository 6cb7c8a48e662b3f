//! What must be true, and what the faults of the moment excuse.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wxgate::sandbox::Api;

use crate::pictures::Sum;
use crate::world::{Backend, World};

/// What a fault excuses while it lasts and for a while after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// A gateway does not answer, or breaks off.
    GatewayGone,
    /// WeChat itself fails, so calls of it do.
    WeChatFails,
    /// WeChat invalidated a token: a call with a large body can't be repeated.
    TokenDied,
    /// What was stored may be stored again: its answer was lost, or what the replicas share.
    StoredTwice,
}

impl Excuse {
    /// How long after the fault its effects may be seen: waits between tries, time-outs of callers.
    fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::TokenDied => 8,
            Self::GatewayGone | Self::StoredTwice => 12,
            Self::WeChatFails => 20,
        })
    }
}

struct Window {
    excuses: &'static [Excuse],
    ended: Option<Instant>,
}

/// A photo that was answered with a URL.
struct Stored {
    sum: Sum,
    url: String,
    /// No fault that could have had it stored twice happened meanwhile.
    undisturbed: bool,
}

#[derive(Default)]
pub struct Counts {
    pub signatures: AtomicU64,
    pub photos: AtomicU64,
    pub photo_retries: AtomicU64,
    pub sdk_calls: AtomicU64,
    pub excused: AtomicU64,
}

pub struct Model {
    pub counts: Counts,
    windows: Mutex<Vec<Window>>,
    faults: Mutex<HashMap<&'static str, u64>>,
    stored: Mutex<Vec<Stored>>,
    broken: Mutex<Vec<String>>,
    secrets: Mutex<std::collections::HashSet<String>>,
    begun: Instant,
}

impl Model {
    pub fn new() -> Self {
        Self {
            counts: Counts::default(),
            windows: Mutex::default(),
            faults: Mutex::default(),
            stored: Mutex::default(),
            broken: Mutex::default(),
            secrets: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// A fault begins; the number is for [`Model::ended`].
    pub fn begins(&self, name: &'static str, excuses: &'static [Excuse]) -> usize {
        *self.faults.lock().unwrap().entry(name).or_default() += 1;
        println!("  {:>6.1} s  {name}", self.begun.elapsed().as_secs_f64());
        let mut windows = self.windows.lock().unwrap();
        windows.push(Window { excuses, ended: None });
        windows.len() - 1
    }

    pub fn ended(&self, window: usize) {
        self.windows.lock().unwrap()[window].ended = Some(Instant::now());
    }

    /// Whether a fault excuses this since `since`.
    fn excuses(&self, excuse: Excuse, since: Instant) -> bool {
        let windows = self.windows.lock().unwrap();
        windows.iter().any(|window| {
            let until = window.ended.map(|ended| ended + excuse.grace());
            window.excuses.contains(&excuse) && until.is_none_or(|until| until > since)
        })
    }

    /// Something failed since `since` that only one of these excuses.
    pub fn failed(&self, excuses: &[Excuse], since: Instant, what: &str) {
        if excuses.iter().any(|excuse| self.excuses(*excuse, since)) {
            self.counts.excused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.broke(what);
        }
    }

    /// Something that nothing excuses.
    pub fn broke(&self, what: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        println!("  {at:>6.1} s  BROKEN: {what}");
        self.broken.lock().unwrap().push(format!("{at:.1} s: {what}"));
    }

    /// A photo was answered with `url`, having been posted at `since`.
    pub fn stored(&self, sum: Sum, url: &str, since: Instant) {
        self.counts.photos.fetch_add(1, Ordering::Relaxed);
        self.stored.lock().unwrap().push(Stored {
            sum,
            url: url.to_owned(),
            undisturbed: !self.excuses(Excuse::StoredTwice, since),
        });
    }

    /// A value that no log may hold.
    pub fn is_secret(&self, value: &str) {
        self.secrets.lock().unwrap().insert(value.to_owned());
    }

    pub fn assert_kept(&self, seed: u64) {
        let broken = self.broken.lock().unwrap();
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}");
    }

    pub async fn line(&self, minute: u64, world: &World) -> String {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        let mut sizes = Vec::new();
        for gateway in &world.gateways {
            sizes.push(match gateway.size().await {
                Some((memory, files)) => format!("{} MiB {files} files", memory / 1024),
                None => "down".to_owned(),
            });
        }
        format!(
            "minute {minute}: {} signatures, {} photos ({} tries more), {} SDK calls, {} failures excused, {} token calls; {}",
            count(&counts.signatures),
            count(&counts.photos),
            count(&counts.photo_retries),
            count(&counts.sdk_calls),
            count(&counts.excused),
            world.wechat.sandbox.calls(Api::StableToken),
            sizes.join(", "),
        )
    }

    /// What can be seen only when all is quiet again.
    pub async fn assert_complete(&self, world: &World, minutes: u64, seed: u64) {
        self.check_pictures(world);
        self.check_token_calls(world, minutes);
        for (index, gateway) in world.gateways.iter().enumerate() {
            let (memory, files) = gateway.size().await.unwrap();
            if memory > 128 * 1024 || files > 250 {
                self.broke(&format!("gateway {index} holds {memory} KiB and {files} files"));
            }
        }
        let secrets = self.secrets.lock().unwrap().clone();
        let logs = world.logs().await;
        for line in &logs {
            if secrets.iter().any(|secret| line.contains(secret.as_str())) {
                self.broke("a log holds a secret");
            }
            if line.contains("panicked") {
                self.broke(line);
            }
        }
        assert!(!logs.is_empty() && !secrets.is_empty());
        self.assert_kept(seed);
    }

    /// Every photo that was answered is there, byte for byte, and once.
    fn check_pictures(&self, world: &World) {
        let mut objects: HashMap<Sum, usize> = HashMap::new();
        for sum in world.objects() {
            *objects.entry(sum).or_default() += 1;
        }
        let stored = self.stored.lock().unwrap();
        assert!(!stored.is_empty(), "no photo was stored");
        for photo in stored.iter() {
            if world.picture(&photo.url) != Some(photo.sum) {
                self.broke(&format!("{} is not the photo that was sent", photo.url));
            }
            let copies = objects.get(&photo.sum).copied().unwrap_or(0) + world.service.copies(&photo.sum);
            if photo.undisturbed && copies != 1 {
                self.broke(&format!("{} was stored {copies} times", photo.url));
            }
        }
    }

    /// A life of a minute is renewed after three quarters of it; each fault may cost a few calls more.
    fn check_token_calls(&self, world: &World, minutes: u64) {
        let faults: u64 = self.faults.lock().unwrap().values().sum();
        let (calls, allowed) = (
            world.wechat.sandbox.calls(Api::StableToken),
            3 + 2 * minutes + 6 * faults,
        );
        if calls > allowed {
            self.broke(&format!(
                "{calls} token calls, {allowed} are allowed for {faults} faults"
            ));
        }
    }

    pub fn report(&self) -> String {
        let faults = self.faults.lock().unwrap();
        let mut faults: Vec<String> = faults.iter().map(|(name, times)| format!("{name}: {times}")).collect();
        faults.sort();
        format!("faults played: {}", faults.join("; "))
    }
}

/// The other store.
pub fn other(backend: Backend) -> Backend {
    match backend {
        Backend::Service => Backend::S3,
        Backend::S3 => Backend::Service,
    }
}
