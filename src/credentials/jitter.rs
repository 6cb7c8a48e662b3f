//! Chance, passed in: what it decides can be repeated in a test.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Spreads out what replicas would otherwise do in step. Clones share one stream of chance.
#[derive(Clone)]
pub struct Jitter(Arc<Mutex<StdRng>>);

impl Jitter {
    /// A stream that nobody can foresee.
    #[must_use]
    pub fn random() -> Self {
        Self::seeded(rand::random())
    }

    /// The stream of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `time`, longer or shorter by a factor from `range`.
    pub(super) fn spread(&self, time: Duration, range: RangeInclusive<f64>) -> Duration {
        let factor = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_range(range);
        time.mul_f64(factor)
    }
}
