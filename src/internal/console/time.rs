//! Times and spans as people read them. WeChat's day begins at midnight in Beijing, so that is the
//! page's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::language::Language;

/// `SystemTime` in Beijing, as `2026-01-31` and `14:05:09`.
pub(super) fn beijing(time: SystemTime) -> (String, String) {
    // Only times near a year 10000 can't be written.
    let shifted = time.checked_add(Duration::from_secs(8 * 3600)).unwrap_or(UNIX_EPOCH);
    let text = humantime::format_rfc3339_seconds(shifted).to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    (date.to_owned(), time.trim_end_matches('Z').to_owned())
}

/// The day in Beijing, and the hour and minute where that is today.
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
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A span in its two largest units: `1 h 52 min`. The page's script writes countdowns the same way.
pub(super) fn span(length: Duration, language: Language) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let [day, hour, minute, second] = units(language);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} {second}"),
        (0, 0, _) if minutes < 10 => format!("{minutes} {minute} {} {second}", seconds % 60),
        (0, 0, _) => format!("{minutes} {minute}"),
        (0, ..) => format!("{hours} {hour} {minutes} {minute}"),
        _ => format!("{days} {day} {hours} {hour}"),
    }
}

/// Day, hour, minute and second.
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
    fn spans_show_two_units() {
        let cases = [
            (5, "5 s", "5 秒"),
            (125, "2 min 5 s", "2 分 5 秒"),
            (1799, "29 min", "29 分"),
            (6750, "1 h 52 min", "1 小时 52 分"),
            (200_000, "2 d 7 h", "2 天 7 小时"),
        ];
        for (seconds, english, chinese) in cases {
            let length = Duration::from_secs(seconds);
            assert_eq!(span(length, Language::English), english);
            assert_eq!(span(length, Language::Chinese), chinese);
        }
    }

    #[test]
    fn the_clock_is_beijing_s() {
        let evening = humantime::parse_rfc3339("2026-01-31T16:30:00Z").unwrap();
        assert_eq!(beijing(evening), ("2026-02-01".to_owned(), "00:30:00".to_owned()));
        assert_eq!(short(evening, evening), "00:30:00");
        assert_eq!(short(evening, evening + Duration::from_secs(86_400)), "02-01 00:30:00");
    }
}
