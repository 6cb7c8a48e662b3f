//! What is true about WeChat and the store, whatever the replicas think.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::step::Step;
use crate::store::MemoryStore;

pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(40);
pub(super) const LOCK_TTL: Duration = Duration::from_secs(6);
const OVERLAP: Duration = Duration::from_secs(5);

/// WeChat and the store.
pub(super) struct World {
    truth: Mutex<Truth>,
    store: Mutex<Arc<MemoryStore>>,
}

struct Truth {
    rng: StdRng,
    /// The number of the newest token, and until when each number is good.
    newest: u64,
    good_until: BTreeMap<u64, Instant>,
    calls_under_way: u32,
    /// Until when nobody is to blame for two calls at once.
    locks_lost_until: Instant,
    wechat_down_until: Instant,
    lose_answer: bool,
    store_down_until: Instant,
    violations: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let now = Instant::now();
        let truth = Truth {
            rng: StdRng::seed_from_u64(seed),
            newest: 0,
            good_until: BTreeMap::new(),
            calls_under_way: 0,
            locks_lost_until: now,
            wechat_down_until: now,
            lose_answer: false,
            store_down_until: now,
            violations: Vec::new(),
        };
        Arc::new(Self {
            truth: Mutex::new(truth),
            store: Mutex::default(),
        })
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// The store, as it is now.
    pub(super) fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    /// Takes as long as WeChat does.
    pub(super) async fn wechat_latency(&self) {
        let millis = self.truth().rng.random_range(1..400);
        sleep(Duration::from_millis(millis)).await;
    }

    /// Takes as long as the store does.
    pub(super) async fn store_latency(&self) {
        let millis = self.truth().rng.random_range(0..5);
        sleep(Duration::from_millis(millis)).await;
    }

    pub(super) fn is_wechat_down(&self) -> bool {
        self.truth().wechat_down_until > Instant::now()
    }

    pub(super) fn is_store_down(&self) -> bool {
        self.truth().store_down_until > Instant::now()
    }

    /// A token call reaches WeChat.
    pub(super) fn begin_call(&self) {
        self.truth().begin_call();
    }

    /// WeChat issues a token; returns its number, and true if the answer gets lost.
    pub(super) fn end_call(&self) -> (u64, bool) {
        let mut truth = self.truth();
        truth.calls_under_way = truth.calls_under_way.saturating_sub(1);
        (truth.issue(), std::mem::take(&mut truth.lose_answer))
    }

    pub(super) fn tokens_issued(&self) -> u64 {
        self.truth().newest
    }

    pub(super) fn note_violation(&self, violation: String) {
        self.truth().violations.push(violation);
    }

    pub(super) fn foreign_fetch(&self) {
        self.truth().issue();
    }

    pub(super) fn wechat_down_for(&self, time: Duration) {
        self.truth().wechat_down_until = Instant::now() + time;
    }

    pub(super) fn lose_next_answer(&self) {
        self.truth().lose_answer = true;
    }

    pub(super) fn store_down_for(&self, time: Duration) {
        self.truth().store_down_until = Instant::now() + time;
    }

    /// Redis was restarted and has kept nothing, locks included.
    pub(super) fn empty_store(&self) {
        *self.store.lock().unwrap() = Arc::default();
        // Whoever holds the lock goes on without it, and may be about to begin its call.
        self.truth().locks_lost_until = Instant::now() + LOCK_TTL;
    }

    pub(super) fn heal(&self) {
        let mut truth = self.truth();
        (truth.wechat_down_until, truth.store_down_until) = (Instant::now(), Instant::now());
        truth.lose_answer = false;
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        let number = number(token);
        self.truth()
            .good_until
            .get(&number)
            .is_some_and(|until| *until > Instant::now())
    }

    pub(super) fn assert_sound(&self, step: &Step) {
        let violations = self.truth().violations.clone();
        assert!(violations.is_empty(), "by {step:?}: {violations:?}");
    }
}

impl Truth {
    /// A new token; the one before lives on for the overlap, older ones die.
    fn issue(&mut self) -> u64 {
        let now = Instant::now();
        let before = self.newest;
        self.newest += 1;
        self.good_until.retain(|number, _| *number == before);
        if let Some(until) = self.good_until.get_mut(&before) {
            *until = (*until).min(now + OVERLAP);
        }
        self.good_until.insert(self.newest, now + TOKEN_LIFE);
        self.newest
    }

    fn begin_call(&mut self) {
        self.calls_under_way += 1;
        if self.calls_under_way > 1 && self.locks_lost_until < Instant::now() {
            let violation = format!("{} token calls are under way", self.calls_under_way);
            self.violations.push(violation);
        }
    }
}

/// The number of a token.
pub(super) fn number(token: &str) -> u64 {
    token.strip_prefix("token-").unwrap().parse().unwrap()
}
