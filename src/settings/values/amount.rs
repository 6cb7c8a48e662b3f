//! Amounts: how long, how large. Each module here is for serde's `with`.

/// A duration in words, such as `"5s"` or `"1h 30m"`: more than zero, at most 365 days.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const EXPECTED: &str = "expected a duration such as \"5s\", \"300s\" or \"72h\" (more than zero, at most 365 days)";

    /// Reads a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?)
            .filter(|duration| !duration.is_zero())
            .ok_or_else(|| D::Error::custom(EXPECTED))
    }

    /// Writes a duration as it can be read.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

/// A duration in words that may be zero, at most 365 days.
pub mod duration_or_zero {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub use super::duration::serialize;

    const EXPECTED: &str = "expected a duration such as \"5s\", \"300s\" or \"72h\" (at most 365 days; \"0s\" is off)";

    /// Reads a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(EXPECTED))
    }
}

/// A number of bytes in words, such as `"20MiB"`: more than zero.
pub mod size {
    use bytesize::ByteSize;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const EXPECTED: &str = "expected a size such as \"512KiB\" or \"20MiB\" (more than zero)";

    /// Reads a size.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match String::deserialize(deserializer)?.parse() {
            Ok(ByteSize(bytes)) if bytes > 0 => Ok(bytes),
            _ => Err(D::Error::custom(EXPECTED)),
        }
    }

    /// Writes a size in the largest unit that holds it without a rest: `ByteSize` itself would round.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
        let (unit, name) = units
            .into_iter()
            .find(|(unit, _)| bytes.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        serializer.collect_str(&format_args!("{}{name}", bytes / unit))
    }
}

fn parse_duration(text: &str) -> Option<std::time::Duration> {
    const LONGEST: std::time::Duration = std::time::Duration::from_hours(8760);
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| *duration <= LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Amounts {
        #[serde(with = "super::duration")]
        duration: Duration,
        #[serde(with = "super::duration_or_zero")]
        or_zero: Duration,
        #[serde(with = "super::size")]
        size: u64,
    }

    fn read(duration: &str, or_zero: &str, size: &str) -> Result<Amounts, String> {
        let text = format!("duration = {duration:?}\nor_zero = {or_zero:?}\nsize = {size:?}");
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (duration, seconds, size, bytes) in [
            ("5s", 5, "20MiB", 20 << 20),
            ("300s", 300, "20971521", 20_971_521),
            ("72h", 72 * 3600, "10 kB", 10_000),
            ("1h 30m", 5400, "1.5KiB", 1536),
            ("365days", 365 * 86400, "3GiB", 3 << 30),
        ] {
            let amounts = read(duration, duration, size).unwrap();
            assert_eq!((amounts.duration, amounts.size), (Duration::from_secs(seconds), bytes));
            assert_eq!(toml::from_str(&toml::to_string(&amounts).unwrap()), Ok(amounts));
        }
    }

    #[test]
    fn zero_endless_and_nonsense_are_refused() {
        for text in ["", "5", "-5s", "s", "366days", "99999999999999999999days", "0s"] {
            assert!(
                read(text, "0s", "1B")
                    .unwrap_err()
                    .starts_with("expected a duration such as"),
                "{text}"
            );
        }
        assert_eq!(read("1s", "0s", "1B").unwrap().or_zero, Duration::ZERO);
        assert!(read("1s", "366days", "1B").unwrap_err().contains("\"0s\" is off"));
        for text in ["", "0", "0MiB", "-1MiB", "MiB", "1 furlong", "0.1B"] {
            assert!(
                read("1s", "1s", text)
                    .unwrap_err()
                    .starts_with("expected a size such as"),
                "{text}"
            );
        }
    }
}
