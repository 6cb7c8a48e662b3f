//! The log and the traces.

mod exporter;
mod log;
mod propagation;
mod spans;
pub(crate) mod text;
mod traces;

use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Settings, UnusableSetting};

pub use log::flush_log;
pub use propagation::{PROPAGATED, inject};
pub(crate) use spans::KNOWN_METHODS;
pub use spans::{TRACES, call_span, request_answered, request_span, traced};
pub use traces::Traces;

/// The target of the library that checks servers' certificates.
const VERIFIER: &str = "rustls_platform_verifier";

/// Sends the process's log to standard error and its traces to the collector, if any, according to `settings`. `instance`
/// is this process's name. Called once per process: only by the command line, never by the library. Before the process
/// ends, the command line calls [`flush_log`].
pub fn init(settings: &Settings, instance: &str) -> Result<Option<Traces>, UnusableSetting> {
    let telemetry = &settings.telemetry;
    let start = |endpoint| Traces::start(endpoint, &settings.http_client, instance);
    let traces = telemetry.otlp_endpoint.as_ref().map(start).transpose()?;
    let filter = EnvFilter::new(telemetry.log_level.as_str());
    // It logs each certificate that it refuses as an error. The code that made the connection logs that too, with advice.
    let verifier_is_named = telemetry.log_level.as_str().contains(VERIFIER);
    let is_news = FilterFn::new(move |metadata| {
        verifier_is_named || *metadata.level() != Level::ERROR || !metadata.target().starts_with(VERIFIER)
    });
    log::log_panics();
    let dropped = match &traces {
        // Filters of the whole registry, since a layer's own would run whenever a span is entered or left.
        None => {
            let (lines, dropped) = log::lines(telemetry.log_format);
            let registry = Registry::default().with(filter).with(FilterFn::new(may_be_logged));
            registry.with(is_news).with(lines).init();
            dropped
        }
        // The log's filter must not apply to the traces.
        Some(traces) => {
            let (lines, dropped) = log::lines(telemetry.log_format);
            let filter = filter.and(FilterFn::new(may_be_logged_beside_traces)).and(is_news);
            let lines = lines.with_filter(filter);
            Registry::default().with(lines).with(traces.layer()).init();
            dropped
        }
    };
    tokio::spawn(log::report_losses(dropped));
    Ok(traces)
}

/// At `debug` and `trace`, libraries log whole requests, and requests to WeChat have the token in their query. So at
/// those levels only our own events are logged. The Redis client warns at each attempt to reach a cluster node; the store
/// logs what matters.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let most = if target.starts_with("redis") {
        Level::ERROR
    } else {
        Level::INFO
    };
    target != TRACES && (*metadata.level() <= most || target.starts_with("wxgate"))
}

/// If traces are exported, the log and the traces share the span of a request.
fn may_be_logged_beside_traces(metadata: &Metadata<'_>) -> bool {
    may_be_logged(metadata) || (metadata.target() == TRACES && metadata.name() == spans::REQUEST)
}

/// `time` in milliseconds. `as_millis` returns a u128, which would be a string in a JSON line.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
