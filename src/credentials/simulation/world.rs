//! The true state of WeChat and of the store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::Step;
use crate::settings::TokenApi;
use crate::store::MemoryStore;

pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(40);
pub(super) const LOCK_TTL: Duration = Duration::from_secs(6);
const OVERLAP: Duration = Duration::from_secs(5);

pub(super) struct World {
    pub(super) token_api: TokenApi,
    /// WeChat rejects every token.
    pub(super) rejects_all: bool,
    /// The maximum duration of a token call.
    pub(super) call_limit: Duration,
    /// `credentials.daily_token_calls`; 0 means no limit.
    pub(super) daily_token_calls: u32,
    /// The pause after each call of a replica's traffic.
    pub(super) traffic_pause: Duration,
    truth: Mutex<Truth>,
    store: Mutex<Arc<MemoryStore>>,
}

struct Truth {
    rng: StdRng,
    /// Tokens are numbered; this is the newest.
    newest: u64,
    good_until: BTreeMap<u64, Instant>,
    calls: Vec<Instant>,
    calls_running: u32,
    /// Until when two calls at once are not a violation.
    locks_lost_until: Instant,
    wechat_down_until: Instant,
    lose_answer: bool,
    store_down_until: Instant,
    violations: Vec<String>,
}

impl World {
    /// A WeChat with classic tokens, the worst case.
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Self::with(seed, |_| {})
    }

    pub(super) fn with(seed: u64, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let now = Instant::now();
        let truth = Truth {
            rng: StdRng::seed_from_u64(seed),
            newest: 0,
            good_until: BTreeMap::new(),
            calls: Vec::new(),
            calls_running: 0,
            locks_lost_until: now,
            wechat_down_until: now,
            lose_answer: false,
            store_down_until: now,
            violations: Vec::new(),
        };
        let mut world = Self {
            token_api: TokenApi::Classic,
            rejects_all: false,
            call_limit: Duration::from_secs(2),
            daily_token_calls: 0,
            traffic_pause: Duration::from_millis(700),
            truth: Mutex::new(truth),
            store: Mutex::default(),
        };
        change(&mut world);
        Arc::new(world)
    }

    pub(super) fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock())
    }

    /// Waits for a random number of these milliseconds, like a network call.
    pub(super) async fn latency(&self, millis: Range<u64>) {
        let millis = self.truth.lock().rng.random_range(millis);
        sleep(Duration::from_millis(millis)).await;
    }

    pub(super) fn is_wechat_down(&self) -> bool {
        self.truth.lock().wechat_down_until > Instant::now()
    }

    pub(super) fn is_store_down(&self) -> bool {
        self.truth.lock().store_down_until > Instant::now()
    }

    /// A token call reaches WeChat.
    pub(super) fn begin_call(&self) {
        let mut truth = self.truth.lock();
        truth.calls.push(Instant::now());
        truth.calls_running += 1;
        if truth.calls_running > 1 && truth.locks_lost_until < Instant::now() {
            let violation = format!("{} token calls are running", truth.calls_running);
            truth.violations.push(violation);
        }
    }

    /// WeChat issues a token; returns its number, and true if the answer gets lost.
    pub(super) fn end_call(&self, forced: bool) -> (u64, bool) {
        let mut truth = self.truth.lock();
        truth.calls_running = truth.calls_running.saturating_sub(1);
        let keeps_it = self.token_api == TokenApi::Stable && !forced && truth.newest > 0;
        let number = if keeps_it { truth.newest } else { truth.issue() };
        (number, std::mem::take(&mut truth.lose_answer))
    }

    /// When token calls reached WeChat.
    pub(super) fn token_calls(&self) -> Vec<Instant> {
        self.truth.lock().calls.clone()
    }

    pub(super) fn tokens_issued(&self) -> u64 {
        self.truth.lock().newest
    }

    pub(super) fn note_violation(&self, violation: String) {
        self.truth.lock().violations.push(violation);
    }

    pub(super) fn foreign_fetch(&self) {
        self.truth.lock().issue();
    }

    pub(super) fn wechat_down_for(&self, time: Duration) {
        self.truth.lock().wechat_down_until = Instant::now() + time;
    }

    pub(super) fn lose_next_answer(&self) {
        self.truth.lock().lose_answer = true;
    }

    pub(super) fn store_down_for(&self, time: Duration) {
        self.truth.lock().store_down_until = Instant::now() + time;
    }

    /// Redis was restarted without its data, locks included.
    pub(super) fn empty_store(&self) {
        *self.store.lock() = Arc::default();
        // The holder of the lock continues without it, and may be about to begin its call.
        self.truth.lock().locks_lost_until = Instant::now() + LOCK_TTL;
    }

    pub(super) fn heal(&self) {
        let mut truth = self.truth.lock();
        (truth.wechat_down_until, truth.store_down_until) = (Instant::now(), Instant::now());
        truth.lose_answer = false;
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        let number = number(token);
        let until = self.truth.lock().good_until.get(&number).copied();
        !self.rejects_all && until > Some(Instant::now())
    }

    pub(super) fn assert_sound(&self, step: &Step) {
        let violations = self.truth.lock().violations.clone();
        assert!(violations.is_empty(), "after {step:?}: {violations:?}");
    }
}

impl Truth {
    /// Issues a token. The previous one stays valid for the overlap, older ones do not.
    fn issue(&mut self) -> u64 {
        let now = Instant::now();
        let before = self.newest;
        self.newest += 1;
        self.good_until.retain(|number, _| *number == before);
        if let Some(until) = self.good_until.get_mut(&before) {
            *until = (*until).min(now + OVERLAP);
        }
        self.good_until.insert(self.newest, now + TOKEN_LIFETIME);
        self.newest
    }
}

/// The number of a token.
pub(super) fn number(token: &str) -> u64 {
    token.strip_prefix("token-").unwrap().parse().unwrap()
}
