//! The clock for lifetimes: it also runs while the machine is suspended.
//!
//! `Instant` stops during a suspension (on Linux it reads `CLOCK_MONOTONIC`), but tokens, tickets and locks still expire.
//! A laptop or virtual machine that wakes up would sign with an expired ticket, and publish it with its old remaining
//! lifetime. The wall clock can't be used instead, because people and NTP change it.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The last second of the year 9999, in seconds since 1970.
pub(crate) const LATEST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// `time`, clamped to the years 1970 to 9999. The crates that format dates panic on others, which files and other
/// programs' entries may contain.
pub(crate) fn with_a_date(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + LATEST_DATE)
}

/// `time` in Beijing, as `2026-01-31` and `14:05:09`.
pub(crate) fn beijing(time: SystemTime) -> (String, String) {
    let there = time.checked_add(Duration::from_hours(8)).unwrap_or(time);
    let text = humantime::format_rfc3339_seconds(with_a_date(there)).to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), time.trim_end_matches('Z').to_owned())
}

/// A moment on that clock. A separate type, so that it is never compared with an [`Instant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Instant);

impl Moment {
    /// The current moment.
    pub fn now() -> Self {
        Self(Instant::now() + suspended())
    }

    /// The time since this moment; zero if it is in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

/// How long the machine has been suspended since it booted, to within about a second.
fn suspended() -> Duration {
    /// In milliseconds. The two clocks are read one after the other, so their difference varies a little; only a
    /// suspension changes it by this much.
    const SUSPENSION: u64 = 1000;
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let (known, now) = (KNOWN.load(Ordering::Relaxed), difference_of_clocks());
    if now < known + SUSPENSION {
        return Duration::from_millis(known);
    }
    KNOWN.fetch_max(now, Ordering::Relaxed);
    Duration::from_millis(now)
}

/// By how many milliseconds the clock that runs during a suspension is ahead of the other one.
#[cfg(target_os = "linux")]
fn difference_of_clocks() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let millis = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000
    };
    millis(ClockId::Boottime).saturating_sub(millis(ClockId::Monotonic))
}

/// On other systems the gateway is developed, not operated.
#[cfg(not(target_os = "linux"))]
fn difference_of_clocks() -> u64 {
    0
}
