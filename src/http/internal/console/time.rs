//! Times and durations for people. WeChat's quotas reset at midnight in Beijing, so the page uses that
//! time zone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::language::Language;
use crate::clock::with_a_date;

/// `SystemTime` in Beijing, as `2026-01-31` and `14:05:09`.
pub(super) fn beijing(time: SystemTime) -> (String, String) {
    let text = machine(time.checked_add(Duration::from_hours(8)).unwrap_or(time));
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), time.trim_end_matches('Z').to_owned())
}

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

/// A duration in its two largest units: `1 h 52 min`. The page's script formats countdowns the same way.
pub(super) fn duration(length: Duration, language: Language) -> String {
    let seconds = length.as_secs();
    let counts = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    let first = counts.iter().position(|count| *count > 0).unwrap_or(3);
    let shown = counts.iter().zip(units(language)).skip(first).take(2);
    let shown = shown
        .enumerate()
        .filter(|(index, (count, _))| *index == 0 || **count > 0);
    let words: Vec<String> = shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect();
    words.join(" ")
}

/// `length` rounded to the minute if it is ten minutes or more.
pub(super) fn to_the_minute(length: Duration) -> Duration {
    let seconds = length.as_secs();
    Duration::from_secs(if seconds < 600 {
        seconds
    } else {
        (seconds + 30) / 60 * 60
    })
}

/// The units day, hour, minute and second.
pub(super) fn units(language: Language) -> [&'static str; 4] {
    match language {
        Language::Chinese => ["天", "小时", "分", "秒"],
        Language::English => ["d", "h", "min", "s"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units() {
        let cases = [
            (5, "5 s", "5 秒"),
            (125, "2 min 5 s", "2 分 5 秒"),
            (0, "0 s", "0 秒"),
            (1799, "29 min 59 s", "29 分 59 秒"),
            (7203, "2 h", "2 小时"),
            (6750, "1 h 52 min", "1 小时 52 分"),
            (200_000, "2 d 7 h", "2 天 7 小时"),
        ];
        for (seconds, english, chinese) in cases {
            let length = Duration::from_secs(seconds);
            assert_eq!(duration(length, Language::English), english);
            assert_eq!(duration(length, Language::Chinese), chinese);
        }
    }

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
    }

    /// Another program may have written any time into the journal.
    #[test]
    fn times_that_can_not_be_written_are_shown_as_the_nearest_that_can() {
        let late = humantime::parse_rfc3339("9999-12-31T16:00:00Z").unwrap();
        let last = ("9999-12-31".to_owned(), "23:59:59".to_owned());
        for time in [late, late + Duration::from_hours(24)] {
            assert_eq!(beijing(time), last);
        }
        assert_eq!(machine(late + Duration::from_hours(24)), "9999-12-31T23:59:59Z");
        let early = UNIX_EPOCH - Duration::from_hours(24);
        assert_eq!(beijing(early), ("1970-01-01".to_owned(), "00:00:00".to_owned()));
        assert_eq!(machine(early), "1970-01-01T00:00:00Z");
    }
}
