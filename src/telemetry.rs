//! The log.

use std::io::IsTerminal;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::settings::{LogFormat, Telemetry};

/// Sends the process's log to standard error, as `settings` say. Once per process: only the command
/// line does this, never the library.
pub fn init(settings: &Telemetry) {
    let filter = EnvFilter::new(settings.log_level.as_str());
    let lines = match settings.log_format {
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // Filters of the whole registry, since a layer's own are asked whenever a span is entered or left.
    Registry::default()
        .with(filter)
        .with(FilterFn::new(may_be_logged))
        .with(lines)
        .init();
}

/// Libraries print whole requests when they are asked to be talkative, and requests to WeChat hold
/// the token in their query. So below `info` only our own words are let through.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("wxgate")
}

/// `time` in milliseconds, as a number: `as_millis` gives one so long that it would be text in a JSON line.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
