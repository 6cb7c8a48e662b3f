//! Amounts: how long, how large.

use std::time::Duration;

use bytesize::ByteSize;

use super::AsText;

/// A duration such as `"5s"` or `"1h 30m"`: more than zero, at most 365 days.
pub struct PositiveDuration;

impl AsText for PositiveDuration {
    type Value = Duration;

    const EXPECTED: &'static str =
        "expected a duration such as \"5s\", \"300s\" or \"72h\" (more than zero, at most 365 days)";

    fn parse(text: &str) -> Option<Duration> {
        DurationOrZero::parse(text).filter(|duration| !duration.is_zero())
    }

    fn print(duration: &Duration) -> String {
        DurationOrZero::print(duration)
    }
}

/// A duration that may be zero, at most 365 days.
pub struct DurationOrZero;

impl AsText for DurationOrZero {
    type Value = Duration;

    const EXPECTED: &'static str =
        "expected a duration such as \"5s\", \"300s\" or \"72h\" (at most 365 days; \"0s\" is off)";

    fn parse(text: &str) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(365 * 24);
        let duration = humantime::parse_duration(text).ok()?;
        (duration <= LONGEST).then_some(duration)
    }

    fn print(duration: &Duration) -> String {
        humantime::format_duration(*duration).to_string()
    }
}

/// A number of bytes such as `"20MiB"`: more than zero.
pub struct Size;

impl AsText for Size {
    type Value = u64;

    const EXPECTED: &'static str = "expected a size such as \"512KiB\" or \"20MiB\" (more than zero)";

    fn parse(text: &str) -> Option<u64> {
        let ByteSize(bytes) = text.parse().ok()?;
        (bytes > 0).then_some(bytes)
    }

    /// In the largest unit that divides the number: `ByteSize` itself would round.
    fn print(bytes: &u64) -> String {
        let units = [(bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
        let (unit, name) = units
            .into_iter()
            .find(|(unit, _)| bytes.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        format!("{}{name}", bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (duration, seconds, size, bytes) in [
            ("5s", 5, "20MiB", 20 << 20),
            ("300s", 300, "20971521", 20_971_521),
            ("72h", 72 * 3600, "10 kB", 10_000),
            ("1h 30m", 5400, "1.5KiB", 1536),
            ("365days", 365 * 86400, "3GiB", 3 << 30),
        ] {
            let seconds = Duration::from_secs(seconds);
            assert_eq!(PositiveDuration::parse(duration), Some(seconds));
            assert_eq!(DurationOrZero::parse(&DurationOrZero::print(&seconds)), Some(seconds));
            assert_eq!(Size::parse(size), Some(bytes));
            assert_eq!(Size::parse(&Size::print(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn amounts_out_of_range_are_refused() {
        for text in ["", "5", "-5s", "s", "366days", "99999999999999999999days"] {
            assert_eq!(PositiveDuration::parse(text), None, "{text}");
            assert_eq!(DurationOrZero::parse(text), None, "{text}");
        }
        let read = |text: &str| PositiveDuration::deserialize(toml::Value::from(text));
        let error = read("0s").unwrap_err().to_string();
        assert!(error.starts_with("expected a duration such as \"5s\""), "{error}");
        assert!(DurationOrZero::EXPECTED.contains("\"0s\" is off"));
        assert_eq!(DurationOrZero::parse("0s"), Some(Duration::ZERO));
        for text in ["", "0", "0MiB", "-1MiB", "MiB", "1 furlong", "0.1B"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
