//! What has been promised to callers, and what the current faults excuse.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::pictures::Sum;

/// What a fault excuses while it lasts and for some time after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// This gateway does not answer, or breaks off.
    GatewayGone(usize),
    /// This gateway has just started and has nothing in memory.
    Fresh(usize),
    /// WeChat itself fails, so calls of it do.
    WeChatFails,
    /// WeChat takes its time, so a gateway that has nothing does.
    WeChatSlow,
    /// WeChat invalidated a token: a call with a large body can't be repeated.
    TokenDied,
    /// `stable_token` answers an invalid token until a refresh may be forced.
    DeadTokenGivenOut,
    /// Redis can't be asked, or has lost its data: no classic token is fetched without the lock.
    RedisFails,
    /// The answer of a store was lost, or what the replicas remember: a photo may be stored again.
    StoredTwice,
    /// An upload was cut off by what also kept the gateway from removing its parts.
    PartsLeft,
    /// The whole machine stalled, which excuses everything that can be excused.
    MachineStalls,
}

impl Excuse {
    /// How long after the fault its effects may be seen.
    fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::PartsLeft => 2,
            // A gateway notices only at its next write that it is connected to the former master.
            Self::GatewayGone(_) | Self::StoredTwice | Self::WeChatSlow => 3,
            Self::TokenDied | Self::RedisFails | Self::MachineStalls => 8,
            Self::WeChatFails | Self::Fresh(_) => 12,
            Self::DeadTokenGivenOut => 20,
        })
    }

    /// How many token calls such a fault may cost.
    fn token_calls(self) -> u64 {
        match self {
            Self::GatewayGone(_) | Self::Fresh(_) | Self::StoredTwice | Self::PartsLeft | Self::WeChatSlow => 0,
            Self::RedisFails | Self::MachineStalls => 1,
            // Each gateway tries again by itself if Redis fails, too.
            Self::WeChatFails => 4,
            Self::TokenDied | Self::DeadTokenGivenOut => 3,
        }
    }
}

struct Window {
    excuses: Vec<Excuse>,
    begun: Instant,
    ended: Option<Instant>,
}

impl Window {
    fn excuses(&self, excuse: Excuse, since: Instant, until: Instant) -> bool {
        let ended = self.ended.map(|ended| ended + excuse.grace());
        self.excuses.contains(&excuse) && self.begun <= until && ended.is_none_or(|ended| ended > since)
    }
}

/// A photo that was answered with a URL.
#[derive(Clone)]
pub struct Stored {
    pub sum: Sum,
    pub url: String,
    /// No fault that could have had it stored twice happened meanwhile.
    pub undisturbed: bool,
}

#[derive(Default)]
pub struct Counts {
    pub signatures: AtomicU64,
    pub unsigned_pages: AtomicU64,
    pub photos: AtomicU64,
    pub photo_retries: AtomicU64,
    pub sdk_calls: AtomicU64,
    pub excused: AtomicU64,
    pub failovers: AtomicU64,
}

pub struct Model {
    pub counts: Counts,
    pub begun: Instant,
    windows: Mutex<Vec<Window>>,
    played: Mutex<BTreeMap<&'static str, u64>>,
    sent: Mutex<HashSet<Sum>>,
    stored: Mutex<Vec<Stored>>,
    violations: Mutex<Vec<String>>,
    allowed_token_calls: AtomicU64,
    secrets: Mutex<HashSet<String>>,
}

/// A fault that is being played; it is over when this is dropped.
pub struct Played<'a> {
    model: &'a Model,
    window: usize,
}

impl Drop for Played<'_> {
    fn drop(&mut self) {
        self.model.windows.lock().unwrap()[self.window].ended = Some(Instant::now());
    }
}

impl Model {
    pub fn new() -> Self {
        Self {
            counts: Counts::default(),
            begun: Instant::now(),
            windows: Mutex::default(),
            played: Mutex::default(),
            sent: Mutex::default(),
            stored: Mutex::default(),
            violations: Mutex::default(),
            allowed_token_calls: AtomicU64::default(),
            secrets: Mutex::default(),
        }
    }

    /// A fault begins.
    pub fn plays(&self, name: &'static str, excuses: &[Excuse]) -> Played<'_> {
        println!("  {:>6.1} s  {name}", self.begun.elapsed().as_secs_f64());
        *self.played.lock().unwrap().entry(name).or_default() += 1;
        let token_calls = excuses.iter().map(|excuse| excuse.token_calls()).sum();
        self.allowed_token_calls.fetch_add(token_calls, Ordering::Relaxed);
        let mut windows = self.windows.lock().unwrap();
        windows.push(Window {
            excuses: excuses.to_vec(),
            begun: Instant::now(),
            ended: None,
        });
        Played {
            model: self,
            window: windows.len() - 1,
        }
    }

    /// How many token calls the faults may have cost so far.
    pub fn allowed_token_calls(&self) -> u64 {
        self.allowed_token_calls.load(Ordering::Relaxed)
    }

    /// Whether a fault excuses this since `since`.
    pub fn excuses(&self, excuse: Excuse, since: Instant) -> bool {
        self.excuses_between(excuse, since, Instant::now())
    }

    pub fn excuses_between(&self, excuse: Excuse, since: Instant, until: Instant) -> bool {
        let windows = self.windows.lock().unwrap();
        let excused_by = |excuse| windows.iter().any(|window| window.excuses(excuse, since, until));
        excused_by(excuse) || excused_by(Excuse::MachineStalls)
    }

    /// Whether such a fault lasts, or has lasted until just now, that began at least `time` ago.
    pub fn lasts_for(&self, excuse: Excuse, time: Duration) -> bool {
        let now = Instant::now();
        let windows = self.windows.lock().unwrap();
        windows
            .iter()
            .any(|window| window.excuses(excuse, now, now) && window.begun.elapsed() >= time)
    }

    /// Records stalls of the machine until the model is dropped: during a stall no process can keep its time limits.
    /// Runs on its own thread, which does nothing else.
    pub fn watch_the_machine(self: &Arc<Self>) {
        const PAUSE: Duration = Duration::from_millis(50);
        const STALL: Duration = Duration::from_millis(500);
        let model = Arc::downgrade(self);
        std::thread::spawn(move || {
            loop {
                let slept = Instant::now();
                std::thread::sleep(PAUSE);
                let Some(model) = model.upgrade() else { return };
                if slept.elapsed() > PAUSE + STALL {
                    let stall = model.plays("the machine stalls", &[Excuse::MachineStalls]);
                    model.windows.lock().unwrap()[stall.window].begun = slept;
                }
            }
        });
    }

    /// Something failed: a violation, unless it is excused.
    pub fn failed(&self, excused: bool, what: &str) {
        if excused {
            self.counts.excused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.violation(what);
        }
    }

    /// A promise is broken.
    pub fn violation(&self, what: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        println!("  {at:>6.1} s  VIOLATION: {what}");
        self.violations.lock().unwrap().push(format!("{at:.1} s: {what}"));
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// A page has a photo with these bytes.
    pub fn sent(&self, sum: Sum) {
        self.sent.lock().unwrap().insert(sum);
    }

    pub fn was_sent(&self, sum: &Sum) -> bool {
        self.sent.lock().unwrap().contains(sum)
    }

    /// A photo was answered with `url`, having been posted at `since`.
    pub fn stored(&self, sum: Sum, url: &str, since: Instant) {
        let stored = Stored {
            sum,
            url: url.to_owned(),
            undisturbed: !self.excuses(Excuse::StoredTwice, since),
        };
        self.stored.lock().unwrap().push(stored);
    }

    /// The photos answered so far, but for the first `skip` of them.
    pub fn stored_after(&self, skip: usize) -> Vec<Stored> {
        self.stored.lock().unwrap().iter().skip(skip).cloned().collect()
    }

    /// A value that no log may hold.
    pub fn is_secret(&self, value: &str) {
        self.secrets.lock().unwrap().insert(value.to_owned());
    }

    pub fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap().iter().cloned().collect()
    }

    /// How often each fault was played.
    pub fn report(&self) -> String {
        let played = self.played.lock().unwrap();
        let played: Vec<String> = played.iter().map(|(name, times)| format!("{name}: {times}")).collect();
        format!("faults played: {}", played.join("; "))
    }
}
