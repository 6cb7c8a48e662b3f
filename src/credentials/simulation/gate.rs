//! The switch that freezes one replica, cuts it off or kills it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// What a replica's calls to the store and to WeChat pass through.
pub(super) struct Gate(Mutex<State>);

struct State {
    dead: bool,
    frozen_until: Instant,
    cut_off_until: Instant,
}

impl Gate {
    pub(super) fn open() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            dead: false,
            frozen_until: now,
            cut_off_until: now,
        }))
    }

    /// Returns once the replica is not frozen; never, once it is dead.
    pub(super) async fn pass(&self) {
        loop {
            let (dead, frozen_until) = {
                let state = self.0.lock();
                (state.dead, state.frozen_until)
            };
            if dead {
                return std::future::pending().await;
            }
            if frozen_until <= Instant::now() {
                return;
            }
            sleep_until(frozen_until).await;
        }
    }

    pub(super) fn freeze_for(&self, time: Duration) {
        self.0.lock().frozen_until = Instant::now() + time;
    }

    pub(super) fn cut_off_for(&self, time: Duration) {
        self.0.lock().cut_off_until = Instant::now() + time;
    }

    pub(super) fn kill(&self) {
        self.0.lock().dead = true;
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.0.lock().cut_off_until > Instant::now()
    }
}
