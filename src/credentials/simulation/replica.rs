//! One replica: a refresher and traffic, with a switch to freeze it, cut it off, or kill it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Step;
use super::wechat::rejection;
use super::world::{LOCK_TTL, World};
use crate::account::AppId;
use crate::credentials::credential::Jitter;
use crate::credentials::slot::Slot;
use crate::credentials::{
    AccountCredentials, Credential, CredentialMetrics, Journal, Kind, Parameters, Policy, Reports, Services,
    TokenCallError, keep_fresh, turns,
};
use crate::settings::Credentials;
use crate::store::MemoryStore;

pub(super) struct SimulatedReplica {
    pub(super) credentials: Arc<AccountCredentials>,
    world: Arc<World>,
    pub(super) gate: Arc<Gate>,
    tasks: JoinSet<()>,
}

impl SimulatedReplica {
    pub(super) fn start(world: &Arc<World>, seed: u64) -> Self {
        let gate = Arc::new(Gate::open());
        let outside = Arc::new(Outside {
            world: Arc::clone(world),
            gate: Arc::clone(&gate),
        });
        let (tracker, never) = (TaskTracker::new(), CancellationToken::new());
        let app_id = AppId::try_from("wx1".to_owned()).unwrap();
        let journal = Journal::start(Arc::new(MemoryStore::default()), "replica", &tracker, never.clone());
        let metrics = CredentialMetrics::register(&Registry::new()).unwrap();
        let services = Services {
            store: Arc::clone(&outside) as _,
            tasks: tracker,
            cut_off: never.clone(),
            turns: turns(),
        };
        let settings = Credentials {
            refresh_ahead: Duration::from_secs(10),
            ticket_max_age: Duration::from_secs(20),
            adopt_interval: Duration::from_secs(2),
            lock_ttl: LOCK_TTL,
            lock_wait: Duration::from_secs(3),
            daily_token_calls: world.daily_token_calls,
            ..Credentials::default()
        };
        let policy = Policy {
            settings: Arc::new(settings),
            call_limit: world.call_limit,
            jitter: Jitter::seeded(seed),
        };
        let credentials = AccountCredentials::new(&Parameters {
            reports: Reports::new(app_id.clone(), journal, metrics),
            app_id,
            issuer: outside,
            signs_pages: true,
            policy,
            services,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_fresh(Arc::clone(&credentials), never));
        tasks.spawn(traffic(Arc::clone(&credentials), Arc::clone(world), Arc::clone(&gate)));
        Self {
            credentials,
            world: Arc::clone(world),
            gate,
            tasks,
        }
    }

    pub(super) async fn call(&self) -> Result<(), TokenCallError> {
        call(&self.credentials, &self.world).await
    }

    pub(super) fn crash(&mut self) {
        self.gate.freeze_for(Duration::from_hours(10_000));
        self.tasks.abort_all();
    }

    pub(super) fn operator_renews(&mut self) {
        let credentials = Arc::clone(&self.credentials);
        self.tasks.spawn(async move {
            let _ = credentials.renew_now(Kind::AccessToken).await;
        });
    }

    fn slot(&self) -> &Slot {
        &self.credentials.token.slot
    }

    pub(super) fn usable_token(&self) -> Option<String> {
        self.slot().usable().map(|token| token.value.expose().to_owned())
    }

    pub(super) fn assert_serves_nothing_dead(&self, step: &Step) {
        if let Some(token) = self.slot().usable() {
            let name = token.value.expose();
            assert!(
                !self.slot().history.is_rejected(&token.value),
                "after {step:?}: {name} was rejected"
            );
        }
    }
}

/// Makes calls with the token all the time; each may find that WeChat rejects it.
async fn traffic(credentials: Arc<AccountCredentials>, world: Arc<World>, gate: Arc<Gate>) {
    loop {
        sleep(world.traffic_pause).await;
        gate.pass().await;
        let _ = call(&credentials, &world).await;
    }
}

async fn call(credentials: &Arc<AccountCredentials>, world: &World) -> Result<(), TokenCallError> {
    let make = |token: Arc<Credential>| {
        let accepted = world.accepts(token.value.expose());
        async move { if accepted { Ok(()) } else { Err(rejection()) } }
    };
    credentials.with_token(make).await
}

/// The store and WeChat, as one replica reaches them.
pub(super) struct Outside {
    pub(super) world: Arc<World>,
    pub(super) gate: Arc<Gate>,
}

/// What a replica's calls to the store and to WeChat pass through.
pub(super) struct Gate {
    frozen_until: Mutex<Instant>,
    cut_off_until: Mutex<Instant>,
}

impl Gate {
    pub(super) fn open() -> Self {
        let now = Instant::now();
        Self {
            frozen_until: Mutex::new(now),
            cut_off_until: Mutex::new(now),
        }
    }

    /// Returns as soon as the replica is not frozen.
    pub(super) async fn pass(&self) {
        loop {
            let frozen_until = *self.frozen_until.lock();
            if frozen_until <= Instant::now() {
                return;
            }
            sleep_until(frozen_until).await;
        }
    }

    pub(super) fn freeze_for(&self, time: Duration) {
        *self.frozen_until.lock() = Instant::now() + time;
    }

    pub(super) fn cut_off_for(&self, time: Duration) {
        *self.cut_off_until.lock() = Instant::now() + time;
    }

    pub(super) fn is_cut_off(&self) -> bool {
        *self.cut_off_until.lock() > Instant::now()
    }
}
