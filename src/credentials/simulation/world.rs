//! What all replicas share: WeChat, the store, and what is known to be true about both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::Step;
use super::replica::Gate;
use crate::credentials::Issuer;
use crate::secret::Secret;
use crate::settings::TokenApi;
use crate::store::{Claim, Entry, Health, MemoryStore, SharedStore, StoreError, StoreFuture};
use crate::wechat::{CallError, ErrCode, Issued};

pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(40);
pub(super) const LOCK_TTL: Duration = Duration::from_secs(6);
const OVERLAP: Duration = Duration::from_secs(5);
const TICKET_LIFE: Duration = Duration::from_mins(1);
pub(super) const TOKEN_KEY: &str = "token";

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

    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    async fn latency(&self) {
        let millis = self.truth().rng.random_range(1..400);
        sleep(Duration::from_millis(millis)).await;
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
}

fn number(token: &str) -> u64 {
    token.strip_prefix("token-").unwrap().parse().unwrap()
}

/// WeChat as one replica reaches it.
pub(super) struct SimulatedWeChat {
    pub(super) world: Arc<World>,
    pub(super) gate: Arc<Gate>,
}

impl SimulatedWeChat {
    async fn issue(&self) -> Result<Issued, CallError> {
        let asked_at = Instant::now();
        if self.world.truth().wechat_down_until > asked_at {
            return Err(CallError::Unreachable("simulated".to_owned()));
        }
        self.world.truth().begin_call();
        self.world.latency().await;
        let (number, lost) = {
            let mut truth = self.world.truth();
            truth.calls_under_way = truth.calls_under_way.saturating_sub(1);
            (truth.issue(), std::mem::take(&mut truth.lose_answer))
        };
        // A replica that freezes in the middle of the call has its answer when it wakes up.
        self.gate.pass().await;
        if lost {
            return Err(CallError::TimedOut);
        }
        Ok(Issued {
            value: Secret::new(format!("token-{number}")),
            expires_in: TOKEN_LIFE,
            asked_at,
        })
    }
}

impl Truth {
    fn begin_call(&mut self) {
        self.calls_under_way += 1;
        if self.calls_under_way > 1 && self.locks_lost_until < Instant::now() {
            self.violations
                .push(format!("{} token calls are under way", self.calls_under_way));
        }
    }
}

impl Issuer for SimulatedWeChat {
    fn token_api(&self) -> TokenApi {
        TokenApi::Classic
    }

    fn token(&self, _: bool) -> BoxFuture<'_, Result<Issued, CallError>> {
        self.issue().boxed()
    }

    fn probe<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<(), CallError>> {
        let good = self.world.accepts(token.expose());
        async move { if good { Ok(()) } else { Err(rejection()) } }.boxed()
    }

    fn ticket<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<Issued, CallError>> {
        async move {
            let asked_at = Instant::now();
            self.world.latency().await;
            if !self.world.accepts(token.expose()) {
                return Err(rejection());
            }
            Ok(Issued {
                value: Secret::new("ticket"),
                expires_in: TICKET_LIFE,
                asked_at,
            })
        }
        .boxed()
    }
}

/// What WeChat says to a token that is not good.
pub(super) fn rejection() -> CallError {
    CallError::Refused {
        code: ErrCode::INVALID_CREDENTIAL,
        message: String::new(),
    }
}

/// The store as one replica reaches it, watched for newer tokens overwritten by older ones.
pub(super) struct SimulatedStore {
    pub(super) world: Arc<World>,
    pub(super) gate: Arc<Gate>,
}

impl SimulatedStore {
    /// Reaches the store, or fails to.
    async fn reach(&self) -> Result<Arc<MemoryStore>, StoreError> {
        self.gate.pass().await;
        let millis = self.world.truth().rng.random_range(0..5);
        sleep(Duration::from_millis(millis)).await;
        if self.gate.is_cut_off() || self.world.truth().store_down_until > Instant::now() {
            return Err(StoreError("simulated".to_owned()));
        }
        Ok(self.world.store())
    }
}

impl SharedStore for SimulatedStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        async move { self.reach().await?.get(key).await }.boxed()
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        async move { self.reach().await?.set_if_absent(key, value, ttl).await }.boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        async move {
            let store = self.reach().await?;
            let written = store.compare_and_set(key, expected, value, ttl).await?;
            if let Some(before) = expected.filter(|_| written && key == TOKEN_KEY)
                && number(before) > number(value)
            {
                self.world
                    .truth()
                    .violations
                    .push(format!("{value} was written over {before}"));
            }
            Ok(written)
        }
        .boxed()
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: &'a str) -> StoreFuture<'a, bool> {
        async move { self.reach().await?.compare_and_delete(key, expected).await }.boxed()
    }

    fn claim<'a>(&'a self, key: &'a str, lock: &'a str, owner: &'a str, lock_ttl: Duration) -> StoreFuture<'a, Claim> {
        async move { self.reach().await?.claim(key, lock, owner, lock_ttl).await }.boxed()
    }

    fn increment<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, u64> {
        async move { self.reach().await?.increment(key, ttl).await }.boxed()
    }

    fn append<'a>(&'a self, key: &'a str, fields: &'a [(&'static str, String)], cap: usize) -> StoreFuture<'a, ()> {
        async move { self.reach().await?.append(key, fields, cap).await }.boxed()
    }

    fn newest<'a>(&'a self, key: &'a str, count: usize) -> StoreFuture<'a, Vec<Vec<(String, String)>>> {
        async move { self.reach().await?.newest(key, count).await }.boxed()
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        async move { self.reach().await?.ping().await }.boxed()
    }

    fn health(&self) -> Health {
        self.world.store().health()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
