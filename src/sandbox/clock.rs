//! The sandbox's clock: tokio's, so that a paused one moves it, plus what was added by hand.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Tells the time since 1970 and the instant that lives are counted by.
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

    /// The number of the month in China.
    pub(super) fn month(&self) -> u64 {
        let (year, month, _) = civil(self.day());
        year * 12 + month
    }
}

/// `unix` as HTTP's `Date` writes it.
pub(super) fn http_date(unix: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day) = civil(unix / DAY);
    let weekday = DAYS[usize::try_from(unix / DAY % 7).unwrap_or_default()];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or_default()];
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `unix` as WeChat's app writes it in its error texts, in China's time.
pub(super) fn china_time(unix: u64) -> String {
    let unix = unix + CHINA;
    let (year, month, day) = civil(unix / DAY);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{year}{month:02}{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month (1 to 12) and day of month of the day that is `days` after 1970-01-01, by counting
/// years from March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http_date(1_789_657_178), "Thu, 17 Sep 2026 14:59:38 GMT");
        assert_eq!(china_time(1_596_526_944), "20200804 15:42:24");
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_and_a_hand_both_move_it() {
        let mut clock = Clock::start();
        let (unix, now) = (clock.unix(), clock.now());
        tokio::time::advance(Duration::from_secs(10)).await;
        clock.advance(Duration::from_secs(DAY));
        assert_eq!(clock.now() - now, Duration::from_secs(DAY + 10));
        assert_eq!(clock.unix() - unix, DAY + 10);
    }
}
