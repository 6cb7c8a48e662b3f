//! A wall clock of a process's own, by libfaketime. Timers don't follow it.

use std::path::Path;

use tempfile::NamedTempFile;

use super::GatewayBuilder;

/// How far the clock is ahead of the machine's, in a file that libfaketime reads.
pub struct WallClock(NamedTempFile);

impl WallClock {
    /// A clock that is this many seconds ahead, or behind.
    pub fn ahead_by(seconds: i64) -> Self {
        let clock = Self(NamedTempFile::new().unwrap());
        clock.set(seconds);
        clock
    }

    /// Steps the clock.
    pub fn set(&self, seconds: i64) {
        std::fs::write(self.0.path(), format!("{seconds:+}s")).unwrap();
    }

    /// `builder` for a process with this clock, and with these other libraries preloaded.
    pub fn of(&self, builder: GatewayBuilder, others: &[&Path]) -> GatewayBuilder {
        let others = others.iter().map(|library| library.display().to_string());
        let libraries: Vec<_> = std::iter::once(library()).chain(others).collect();
        builder
            .variable("LD_PRELOAD", libraries.join(":"))
            .variable("FAKETIME_TIMESTAMP_FILE", self.0.path().display())
            .variable("FAKETIME_CACHE_DURATION", 1)
            .variable("DONT_FAKE_MONOTONIC", 1)
    }
}

fn library() -> String {
    let found = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists());
    found.expect("libfaketime is not installed: run scripts/test, which installs what the tests need")
}
