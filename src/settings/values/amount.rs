//! Amounts: durations and sizes.

use std::fmt::Display;
use std::time::Duration;

use bytesize::ByteSize;

use super::AsText;

/// A duration such as `"5s"` or `"1h 30m"`, from `MIN_MS` milliseconds to `MAX_HOURS` hours: anything outside must be
/// a typo.
pub struct DurationWithin<const MIN_MS: u64, const MAX_HOURS: u64>;

/// A time limit or an interval. With zero, neither connections nor answers would be waited for.
pub type PositiveDuration = DurationWithin<1, 24>;

impl<const MIN_MS: u64, const MAX_HOURS: u64> AsText for DurationWithin<MIN_MS, MAX_HOURS> {
    type Value = Duration;

    fn expected() -> impl Display {
        let bounds = match MIN_MS {
            0 => format!("at most {MAX_HOURS}h; \"0s\" turns it off"),
            _ => format!("{MIN_MS}ms to {MAX_HOURS}h"),
        };
        format!("expected a duration such as \"5s\", \"300s\" or \"1h\" ({bounds})")
    }

    fn parse(text: &str) -> Option<Duration> {
        let bounds = Duration::from_millis(MIN_MS)..=Duration::from_hours(MAX_HOURS);
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| bounds.contains(duration))
    }

    /// In the largest of these units that divides it, as the documentation writes durations.
    fn print(duration: &Duration) -> String {
        let nanos = duration.as_nanos();
        let units = [
            ("h", 3_600_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("ns", 1),
        ];
        let divides = |unit: u128| nanos >= unit && nanos.is_multiple_of(unit);
        let largest = units.into_iter().find(|(_, unit)| divides(*unit));
        let (name, unit) = largest.unwrap_or(("s", 1));
        format!("{}{name}", nanos / unit)
    }
}

/// A number of bytes such as `"20MiB"`, from `LEAST` to `MOST`.
pub struct SizeWithin<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> AsText for SizeWithin<LEAST, MOST> {
    type Value = u64;

    fn expected() -> impl Display {
        let [least, most] = [LEAST, MOST].map(|bytes| Self::print(&bytes));
        format!("expected a size such as \"512KiB\" or \"20MiB\" ({least} to {most})")
    }

    fn parse(text: &str) -> Option<u64> {
        let ByteSize(bytes) = text.parse().ok()?;
        (LEAST..=MOST).contains(&bytes).then_some(bytes)
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
