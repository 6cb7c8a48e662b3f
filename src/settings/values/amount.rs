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
