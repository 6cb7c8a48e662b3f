//! What is logged.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A level, or a filter such as `wxgate=debug,info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LogFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // `EnvFilter` takes "inof" for the name of a module and then logs nothing else.
        let level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        let spells_levels = text.contains('[') || text.split(',').all(|part| part.contains('=') || level(part));
        if !spells_levels || EnvFilter::try_new(&text).is_err() {
            return Err(
                "expected a level (error, warn, info, debug, trace, off) or a filter such as \"wxgate=debug,info\"",
            );
        }
        Ok(Self(text))
    }
}
