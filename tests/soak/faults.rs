//! What goes wrong, drawn from a seed. The gateways, Redis, WeChat, the stores and the clocks each have faults of their
//! own, one at a time, so up to five things fail at once and always two gateways serve.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::model::{Excuse, Model};
use crate::store_proxy::Mode;
use crate::world::{FAILOVER, GATEWAYS, STORE, World};

pub struct Faults {
    stop: CancellationToken,
    players: Vec<JoinHandle<()>>,
}

/// What a player needs to cause its faults.
pub struct Player {
    pub world: Arc<World>,
    pub model: Arc<Model>,
    pub rng: StdRng,
    /// When the gateways move to the other store, unless they have.
    moves_at: Option<Instant>,
    /// When WeChat last invalidated a token of each account.
    pub token_died: [Option<Instant>; 2],
}

impl Faults {
    /// Faults for a run of this length. The gateways move once; in a short run early, so that they serve for a while.
    pub fn start(world: &Arc<World>, model: &Arc<Model>, seed: u64, length: Duration) -> Self {
        let stop = CancellationToken::new();
        let begun = Instant::now();
        let moves_after = if length < Duration::from_mins(6) {
            Duration::from_secs(20)
        } else {
            length / 3
        };
        let players = (0..5).map(|number: u64| {
            let mut player = Player {
                world: Arc::clone(world),
                model: Arc::clone(model),
                rng: StdRng::seed_from_u64(seed.wrapping_mul(5) + number),
                moves_at: Some(begun + moves_after),
                token_died: [None; 2],
            };
            let stop = stop.clone();
            tokio::spawn(async move {
                loop {
                    let quiet = player.millis(4000..12_000);
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

    /// Fails if one of the players has failed, since its faults would be missing.
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
    pub fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    /// The last gateway is only frozen, so that it serves long enough for a leak to be seen.
    async fn disturbs_a_gateway(&mut self) {
        if self.moves_at.take_if(|at| *at < Instant::now()).is_some() {
            return self.moves_to_the_other_store().await;
        }
        let (index, time) = (self.rng.random_range(0..GATEWAYS), self.millis(500..6000));
        let draw = if index == GATEWAYS - 1 {
            0
        } else {
            self.rng.random_range(0..4)
        };
        let (world, gateway) = (&self.world, &self.world.gateways[index]);
        let (gone, fresh) = (Excuse::GatewayGone(index), Excuse::Fresh(index));
        match draw {
            0 => {
                let _fault = self.model.plays("gateway frozen", &[gone, Excuse::StoredTwice]);
                gateway.signal("STOP").await;
                sleep(time).await;
                gateway.signal("CONT").await;
            }
            1 => {
                let excuses = [gone, fresh, Excuse::StoredTwice, Excuse::PartsLeft];
                let _fault = self.model.plays("gateway killed", &excuses);
                gateway.stop(true).await;
                sleep(time).await;
                world.start_gateway(index, None).await;
            }
            2 => {
                let _fault = self.model.plays("gateway restarted", &[gone, fresh]);
                gateway.stop(false).await;
                world.start_gateway(index, None).await;
            }
            _ => {
                let excuses = [gone, fresh, Excuse::PartsLeft];
                let _fault = self.model.plays("gateway short of open files", &excuses);
                gateway.stop(false).await;
                world.start_gateway(index, Some(64)).await;
                sleep(time).await;
                gateway.stop(false).await;
                world.start_gateway(index, None).await;
            }
        }
    }

    /// One gateway after the other, as in a rolling update; meanwhile a photo may go to both stores.
    async fn moves_to_the_other_store(&self) {
        let _move = self
            .model
            .plays("gateways move to the other store", &[Excuse::StoredTwice]);
        self.world.changes_store();
        for (index, gateway) in self.world.gateways.iter().enumerate() {
            let excuses = [Excuse::GatewayGone(index), Excuse::Fresh(index)];
            let _fault = self.model.plays("gateway moves", &excuses);
            gateway.stop(false).await;
            self.world.start_gateway(index, None).await;
            // Its classic account is ready once Redis is.
            let ready = async {
                while gateway.caller.get("/readyz").await.status != 200 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            timeout(FAILOVER, ready).await.expect("it is ready within a failover");
        }
    }

    /// Each fault lasts until there is one master.
    async fn disturbs_redis(&mut self) {
        const EXCUSES: &[Excuse] = &[Excuse::RedisFails, Excuse::StoredTwice];
        let (frozen, dead, two_masters) = (self.millis(200..4000), self.millis(4500..8000), self.millis(0..4000));
        let draw = self.rng.random_range(0..4);
        let mut servers = self.world.redis.lock().await;
        let master = self.world.master(&servers).await;
        let model = &self.model;
        let _fault = match draw {
            0 => {
                let fault = model.plays("Redis killed", EXCUSES);
                servers[master].kill();
                sleep(dead).await;
                servers[master].revive().await;
                fault
            }
            1 => {
                let fault = model.plays("Redis frozen", EXCUSES);
                servers[master].signal("STOP");
                sleep(frozen).await;
                servers[master].signal("CONT");
                fault
            }
            2 => {
                let fault = model.plays("Redis emptied", EXCUSES);
                servers[master].command::<()>("FLUSHALL").await;
                fault
            }
            _ => {
                let fault = model.plays("Redis takes no writes", EXCUSES);
                let limit = "CONFIG SET min-replicas-to-write";
                servers[master].command::<()>(&format!("{limit} 9")).await;
                sleep(frozen).await;
                servers[master].command::<()>(&format!("{limit} 0")).await;
                fault
            }
        };
        let successor = self.world.master(&servers).await;
        if successor != master {
            model.counts.failovers.fetch_add(1, Ordering::Relaxed);
            // Gateways that still use the former master and those that use the new one don't see each other's writes. A
            // sentinel ends that after ten seconds or more; here it is ended sooner, for more faults in the same time.
            sleep(two_masters).await;
            let address = servers[successor].address;
            let demoted = format!("REPLICAOF {} {}", address.ip(), address.port());
            servers[master].command::<()>(&demoted).await;
            self.world.master(&servers).await;
        }
    }

    async fn disturbs_a_store(&mut self) {
        // Less than `image_store.http.timeout`: after that a slow store would have the picture, but the gateway no
        // answer.
        let time = self.millis(500..4000);
        let proxies = [&self.world.service_proxy, &self.world.s3_proxy];
        let draw = self.rng.random_range(0..4);
        let (name, mode, excuses): (_, _, &[Excuse]) = match draw {
            0 => (
                "the store is down",
                Mode::Shut,
                &[Excuse::StoredTwice, Excuse::PartsLeft],
            ),
            1 => {
                let excuses = &[Excuse::StoredTwice, Excuse::PartsLeft];
                ("the store's name does not resolve", Mode::Open, excuses)
            }
            2 => ("the store is slow", Mode::Slow(Duration::from_millis(200)), &[]),
            _ => ("the store refuses", Mode::Refusing, &[Excuse::PartsLeft]),
        };
        let _fault = self.model.plays(name, excuses);
        if draw == 1 {
            self.world.names.set(STORE, false);
            for proxy in proxies {
                proxy.hang_up().await;
            }
        }
        for proxy in proxies {
            proxy.set(mode);
        }
        sleep(time).await;
        for proxy in proxies {
            proxy.set(Mode::Open);
        }
        self.world.names.set(STORE, true);
    }

    /// Steps the clock ahead or back, then returns it. Certificates are valid for two days from the start, so no
    /// further.
    async fn steps_a_clock(&mut self) {
        let (index, time) = (self.rng.random_range(0..GATEWAYS), self.millis(2000..12_000));
        let seconds = if self.rng.random_bool(0.5) {
            self.rng.random_range(60..36_000)
        } else {
            -i64::try_from(self.model.begun.elapsed().as_secs() / 2).unwrap()
        };
        let _fault = self.model.plays("a gateway's wall clock steps and steps back", &[]);
        self.world.gateways[index].clock.set(seconds);
        sleep(time).await;
        self.world.gateways[index].clock.set(0);
    }
}
