//! What goes wrong in a schedule, and when.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

pub(super) const REPLICAS: usize = 3;

/// Something that goes wrong, or right again.
#[derive(Debug)]
pub(super) enum Step {
    Quiet,
    ForeignFetch,
    WeChatDown(Duration),
    AnswersLost,
    StoreDown(Duration),
    StoreEmptied,
    Frozen(usize, Duration),
    Crashed(usize),
    CutOff(usize, Duration),
    OperatorRenews(usize),
}

impl Step {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let which = rng.random_range(0..REPLICAS);
        let time = Duration::from_millis(rng.random_range(500..15_000));
        match rng.random_range(0..20) {
            0 | 1 => Self::ForeignFetch,
            2 => Self::WeChatDown(time),
            3 => Self::AnswersLost,
            4 => Self::StoreDown(time),
            5 => Self::StoreEmptied,
            6 | 7 => Self::Frozen(which, time),
            8 => Self::Crashed(which),
            9 => Self::CutOff(which, time),
            10 => Self::OperatorRenews(which),
            _ => Self::Quiet,
        }
    }
}
