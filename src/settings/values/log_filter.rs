//! What is logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

text! {
    /// A level, or a filter such as `wxgate=debug,info`.
    pub struct LogFilter: is_filter,
    "expected a level (error, warn, info, debug, trace, off) or a filter such as \"wxgate=debug,info\""
}

fn is_filter(text: &str) -> bool {
    // `EnvFilter` takes "inof" for a module name and then logs nothing else.
    let level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let spells_levels = text.contains('[') || text.split(',').all(|part| part.contains('=') || level(part));
    spells_levels && EnvFilter::try_new(text).is_ok()
}
