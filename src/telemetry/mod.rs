//! The log, and the traces.

mod exporter;
mod propagation;
mod spans;
mod traces;

use std::io::IsTerminal;
use std::time::Duration;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::settings::{LogFormat, Settings, Telemetry};

pub use propagation::{PROPAGATED, inject};
pub(crate) use spans::KNOWN_METHODS;
pub use spans::{TRACES, call_span, request_answered, request_span, traced};
pub use traces::{Traces, TracesError};

/// Sends the process's log to standard error and its traces to the collector, if there is one, as `settings` say.
/// `instance` is this process's name. Once per process: only the command line does this, never the library.
pub fn init(settings: &Settings, instance: &str) -> Result<Option<Traces>, TracesError> {
    let Telemetry {
        log_format,
        log_level,
        otlp_endpoint,
    } = &settings.telemetry;
    let start = |endpoint| Traces::start(endpoint, &settings.http_client, instance);
    let traces = otlp_endpoint.as_ref().map(start).transpose()?;
    let filter = EnvFilter::new(log_level.as_str());
    match &traces {
        // Filters of the whole registry, since a layer's own are asked whenever a span is entered or left.
        None => Registry::default()
            .with(filter)
            .with(FilterFn::new(may_be_logged))
            .with(lines(*log_format))
            .init(),
        // The log's filter must not apply to the traces.
        Some(traces) => Registry::default()
            .with(lines(*log_format).with_filter(filter.and(FilterFn::new(may_be_logged_beside_traces))))
            .with(traces.layer())
            .init(),
    }
    Ok(traces)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    }
}

/// Below `info`, libraries log whole requests, and requests to WeChat have the token in their query. So at those levels
/// only our own events are logged.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    metadata.target() != TRACES && (*metadata.level() <= Level::INFO || metadata.target().starts_with("wxgate"))
}

/// With traces on, one span of a request serves both.
fn may_be_logged_beside_traces(metadata: &Metadata<'_>) -> bool {
    may_be_logged(metadata) || (metadata.target() == TRACES && metadata.name() == spans::REQUEST)
}

/// `time` in milliseconds: `as_millis` gives a u128, which would be a string in a JSON line.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
