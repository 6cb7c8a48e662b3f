//! Times and durations for people. WeChat's quotas reset at midnight in Beijing, so the page uses that time zone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::{beijing, with_a_date};

/// The time of day in Beijing, with the date unless that is today.
pub(super) fn short(time: SystemTime, now: SystemTime) -> String {
    let ((date, clock), (today, _)) = (beijing(time), beijing(now));
    if date == today {
        clock
    } else {
        format!("{} {clock}", date.get(5..).unwrap_or(&date))
    }
}

/// For a `<time>` element's `datetime`.
pub(super) fn machine(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(with_a_date(time)).to_string()
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `length` rounded to the minute if it is ten minutes or more.
pub(super) fn to_the_minute(length: Duration) -> Duration {
    if length < Duration::from_mins(10) {
        return length;
    }
    Duration::from_mins((length.as_secs() + 30) / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_durations_are_rounded_to_the_minute() {
        let rounded = [599, 7199, 7229].map(|seconds| to_the_minute(Duration::from_secs(seconds)).as_secs());
        assert_eq!(rounded, [599, 7200, 7200]);
    }

    #[test]
    fn times_are_shown_in_beijing_time() {
        let evening = humantime::parse_rfc3339("2026-01-31T16:30:00Z").unwrap();
        assert_eq!(beijing(evening), ("2026-02-01".to_owned(), "00:30:00".to_owned()));
        assert_eq!(short(evening, evening), "00:30:00");
        assert_eq!(short(evening, evening + Duration::from_hours(24)), "02-01 00:30:00");
        // Another program may have written any time into the journal.
        let late = humantime::parse_rfc3339("9999-12-31T20:00:00Z").unwrap();
        assert_eq!(beijing(late), ("9999-12-31".to_owned(), "23:59:59".to_owned()));
    }
}
