//! What goes wrong, drawn from a seed. The gateways, Redis, WeChat, the stores and the clocks each have faults of their own, one
//! at a time, so up to five things fail at once and always two gateways serve.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wxgate::sandbox::{Fault, Kill, Rule};

use crate::door::Passage;
use crate::model::{Excuse, Model, other};
use crate::world::{GATEWAYS, STORE, WECHAT, World};

pub struct Faults {
    stop: CancellationToken,
    players: Vec<JoinHandle<()>>,
}

/// One player's means.
struct Player {
    world: Arc<World>,
    model: Arc<Model>,
    rng: StdRng,
    /// When WeChat last invalidated a token.
    token_died: Option<Instant>,
}

/// How long WeChat leaves tokens alone after it has invalidated one. The wait between token calls grows if tokens keep
/// dying, and lives of a minute are too short for that.
const TOKENS_LIVE: Duration = Duration::from_secs(90);

impl Faults {
    pub fn start(world: &Arc<World>, model: &Arc<Model>, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let players = (0..5).map(|number: u64| {
            let mut player = Player {
                world: Arc::clone(world),
                model: Arc::clone(model),
                rng: StdRng::seed_from_u64(seed.wrapping_mul(5) + number),
                token_died: None,
            };
            let stop = stop.clone();
            tokio::spawn(async move {
                loop {
                    let quiet = player.millis(3000..9000);
                    if stop.run_until_cancelled(sleep(quiet)).await.is_none() {
                        break;
                    }
                    match number {
                        0 => player.disturbs_a_gateway().await,
                        1 => player.disturbs_redis().await,
                        2 => player.disturbs_wechat().await,
                        3 => player.disturbs_a_store().await,
                        _ => player.steps_a_clock().await,
                    }
                }
            })
        });
        Self {
            players: players.collect(),
            stop,
        }
    }

    /// Fails if one of the players has failed, which would spare the gateways its faults.
    pub fn assert_being_played(&self) {
        let failed = self.players.iter().position(JoinHandle::is_finished);
        assert!(failed.is_none(), "player {failed:?} has failed");
    }

    /// Waits until the present faults are over.
    pub async fn end(self) {
        self.stop.cancel();
        for player in self.players {
            player.await.unwrap();
        }
    }
}

impl Player {
    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    async fn disturbs_a_gateway(&mut self) {
        const GONE: &[Excuse] = &[Excuse::GatewayGone];
        const BROKEN_OFF: &[Excuse] = &[Excuse::GatewayGone, Excuse::StoredTwice];
        let (index, time) = (self.rng.random_range(0..GATEWAYS), self.millis(500..6000));
        let (world, model) = (&self.world, &self.model);
        let gateway = &world.gateways[index];
        match self.rng.random_range(0..5) {
            0 => {
                let window = model.begins("gateway killed", BROKEN_OFF);
                gateway.stop(true).await;
                sleep(time).await;
                world.start_gateway(index, None).await;
                model.ended(window);
            }
            1 => {
                let window = model.begins("gateway frozen", BROKEN_OFF);
                gateway.signal("STOP").await;
                sleep(time).await;
                gateway.signal("CONT").await;
                model.ended(window);
            }
            2 => {
                let window = model.begins("gateway restarted", GONE);
                gateway.stop(false).await;
                world.start_gateway(index, None).await;
                model.ended(window);
            }
            3 => {
                let window = model.begins("gateway short of open files", GONE);
                gateway.stop(false).await;
                world.start_gateway(index, Some(64)).await;
                sleep(time).await;
                gateway.stop(false).await;
                world.start_gateway(index, None).await;
                model.ended(window);
            }
            _ => {
                let window = model.begins("gateways take the other store, one after the other", BROKEN_OFF);
                world.set_backend(other(world.backend()));
                for index in 0..GATEWAYS {
                    world.gateways[index].stop(false).await;
                    world.start_gateway(index, None).await;
                    world.gateways[index].caller.until_ready().await;
                }
                model.ended(window);
            }
        }
    }

    async fn disturbs_redis(&mut self) {
        const TWICE: &[Excuse] = &[Excuse::StoredTwice];
        let (frozen, dead) = (self.millis(200..3000), self.millis(2500..6000));
        let draw = self.rng.random_range(0..4);
        let mut servers = self.world.redis.lock().await;
        let Some(master) = World::master(&servers).await else {
            return;
        };
        let model = &self.model;
        match draw {
            0 => {
                let window = model.begins("Redis killed", TWICE);
                servers[master].kill();
                sleep(dead).await;
                servers[master].revive().await;
                model.ended(window);
            }
            1 => {
                let window = model.begins("Redis frozen", TWICE);
                servers[master].signal("STOP");
                sleep(frozen).await;
                servers[master].signal("CONT");
                model.ended(window);
            }
            2 => {
                let window = model.begins("Redis emptied", TWICE);
                servers[master].command::<()>("FLUSHALL").await;
                model.ended(window);
            }
            _ => {
                let window = model.begins("Redis takes no writes", TWICE);
                servers[master]
                    .command::<()>("CONFIG SET min-replicas-to-write 9")
                    .await;
                sleep(frozen).await;
                servers[master]
                    .command::<()>("CONFIG SET min-replicas-to-write 0")
                    .await;
                model.ended(window);
            }
        }
    }

    async fn disturbs_wechat(&mut self) {
        const FAILS: &[Excuse] = &[Excuse::WeChatFails];
        const BOTH: &[Excuse] = &[Excuse::TokenDied, Excuse::WeChatFails];
        let sandbox = &self.world.wechat.sandbox;
        let app_id = self.world.wechat.account().app_id;
        let still_answered = Kill {
            still_answered: true,
            ..Kill::default()
        };
        let may_die = self.token_died.is_none_or(|died| died.elapsed() > TOKENS_LIVE);
        let (fault, name, excuses) = match self.rng.random_range(0..10) {
            0 if may_die => {
                self.token_died = Some(Instant::now());
                let window = self.model.begins("WeChat invalidates the token", &[Excuse::TokenDied]);
                sandbox.kill_token(&app_id, Kill::default()).unwrap();
                return self.model.ended(window);
            }
            1 if may_die => {
                self.token_died = Some(Instant::now());
                let window = self.model.begins("WeChat goes on giving out a dead token", BOTH);
                sandbox.kill_token(&app_id, still_answered).unwrap();
                return self.model.ended(window);
            }
            0..=2 => {
                let window = self.model.begins("another system fetches a classic token", &[]);
                sandbox.foreign_token(&app_id).unwrap();
                return self.model.ended(window);
            }
            3 => {
                let window = self.model.begins("WeChat's name does not resolve", FAILS);
                self.world.names.set(WECHAT, false);
                sleep(self.millis(500..6000)).await;
                self.world.names.set(WECHAT, true);
                return self.model.ended(window);
            }
            4 => (Fault::delay(Duration::from_secs(2)), "WeChat is slow", &[] as &[Excuse]),
            5 => (Fault::errcode(-1), "WeChat is busy", FAILS),
            6 => (Fault::Reset, "WeChat breaks off", FAILS),
            7 => (Fault::lost_answer(), "WeChat's answers are lost", FAILS),
            8 => (Fault::status(502), "WeChat answers 502", FAILS),
            _ => {
                let drip = Fault::Drip {
                    bytes: 4096,
                    millis: 50,
                };
                (drip, "WeChat's answers come slowly", &[] as &[Excuse])
            }
        };
        let time = self.millis(500..6000);
        let window = self.model.begins(name, excuses);
        let rule = self.world.wechat.sandbox.inject(Rule::from(fault));
        sleep(time).await;
        self.world.wechat.sandbox.remove_fault(rule);
        self.model.ended(window);
    }

    async fn disturbs_a_store(&mut self) {
        const TWICE: &[Excuse] = &[Excuse::StoredTwice];
        let time = self.millis(500..8000);
        let doors = [&self.world.service_door, &self.world.s3_door];
        let draw = self.rng.random_range(0..4);
        let (name, passage) = match draw {
            0 => ("the store is down", Passage::Shut),
            1 => ("the store's name does not resolve", Passage::Open),
            2 => ("the store is slow", Passage::Slow(Duration::from_millis(200))),
            _ => ("the store refuses", Passage::Open),
        };
        let window = self.model.begins(name, TWICE);
        self.world.names.set(STORE, draw != 1);
        self.world.service.fails(draw == 3);
        for door in doors {
            door.set(passage);
        }
        sleep(time).await;
        for door in doors {
            door.set(Passage::Open);
        }
        self.world.names.set(STORE, true);
        self.world.service.fails(false);
        self.model.ended(window);
    }

    /// Ahead, and back again. Certificates are valid for two days, so not further.
    async fn steps_a_clock(&mut self) {
        let (index, time) = (self.rng.random_range(0..GATEWAYS), self.millis(2000..12000));
        let ahead = Duration::from_secs(self.rng.random_range(60..36_000));
        let window = self.model.begins("a gateway's wall clock steps ahead and back", &[]);
        self.world.gateways[index].set_clock(ahead);
        sleep(time).await;
        self.world.gateways[index].set_clock(Duration::ZERO);
        self.model.ended(window);
    }
}
