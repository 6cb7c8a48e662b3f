//! The sandbox's clock: tokio's, which tests can pause, plus the time added by [`Clock::advance`].

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Gives the time since 1970, and the instant by which lifetimes are measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
    unix_at_origin: Duration,
    ahead: Duration,
}

/// WeChat's days begin at midnight in China.
const CHINA: u64 = 8 * 3600;
const DAY: u64 = 86_400;

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin: Instant::now(),
            unix_at_origin: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            ahead: Duration::ZERO,
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(by).min(Duration::from_secs(100 * 366 * DAY));
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self) -> u64 {
        (self.unix_at_origin + (self.now() - self.origin)).as_secs()
    }

    /// The number of the day in China, by which daily quotas are counted.
    pub(super) fn day(&self) -> u64 {
        (self.unix() + CHINA) / DAY
    }

    /// The month in China, such as `202008`.
    pub(super) fn month(&self) -> String {
        china_time(self.unix()).chars().take(6).collect()
    }
}

/// `unix` as in WeChat's error texts: China's time, such as `20200804 15:42:24`.
pub(super) fn china_time(unix: u64) -> String {
    let local = SystemTime::UNIX_EPOCH + Duration::from_secs(unix + CHINA);
    let rfc3339 = humantime::format_rfc3339_seconds(local).to_string();
    rfc3339.replace('-', "").replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn china_time_is_utc_plus_8() {
        for (unix, time) in [
            (0, "19700101 08:00:00"),
            (951_753_599, "20000228 23:59:59"),
            (951_753_600, "20000229 00:00:00"),
            (1_596_526_944, "20200804 15:42:24"),
        ] {
            assert_eq!(china_time(unix), time);
        }
    }
}
