//! Randomness, passed in so that a test can repeat what it decides.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How long a replica that waits for another one pauses between two looks at the shared store.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Spreads out what replicas would otherwise do in step. Clones share one random stream.
#[derive(Clone)]
pub(crate) struct Jitter(Arc<Mutex<StdRng>>);

impl Jitter {
    pub(crate) fn random() -> Self {
        Self::seeded(rand::random())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `time`, longer or shorter by a factor from `range`.
    pub(super) fn spread(&self, time: Duration, range: RangeInclusive<f64>) -> Duration {
        let factor = self.0.lock().random_range(range);
        time.mul_f64(factor)
    }

    /// The pause before the next look, [`POLL`] on average.
    pub(super) fn poll(&self) -> Duration {
        self.spread(POLL, 0.5..=1.5)
    }
}
