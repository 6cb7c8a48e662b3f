//! The log. Lines go through a bounded queue, and are dropped if standard error is not read, so that requests never wait.

use std::io::{IsTerminal, Write, stderr};
use std::panic::{self, PanicHookInfo};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::text;
use crate::settings::LogFormat;

/// The maximum number of queued lines; a typical one takes about 300 bytes.
const QUEUE: usize = 4096;
/// How often lost lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum time that the process waits for the log to be read before it exits.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

/// Stops the thread that writes the queue. A global, since every way to end the process must use it.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// The layer that writes events to standard error, and the counter of lines that did not fit into the queue.
pub(super) fn lines<S>(format: LogFormat) -> (Box<dyn Layer<S> + Send + Sync>, ErrorCounter)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .thread_name("log")
        .finish(stderr());
    *WRITER.lock() = Some(guard);
    let dropped = queue.error_counter();
    let layer = match format {
        LogFormat::Text => fmt::layer()
            .fmt_fields(debug_fn(text::write_field).delimited(" "))
            .with_writer(queue)
            .with_ansi(stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(move || JsonLine(queue.clone()))
            .boxed(),
    };
    (layer, dropped)
}

/// Writes the queued lines, unless standard error is not read. Must be called before the process ends; later lines are lost.
pub fn flush_log() {
    let guard = WRITER.lock().take();
    let (done, flushed) = mpsc::channel();
    // In a thread, since the guard may also write to a standard output that is not read.
    thread::spawn(move || {
        drop(guard);
        let _ = done.send(());
    });
    let _ = flushed.recv_timeout(FLUSH_LIMIT);
}

/// Reports lost lines whenever there are new ones. A lost report counts as a lost line, so another one follows.
pub(super) async fn report_losses(dropped: ErrorCounter) {
    let mut reported = 0;
    loop {
        sleep(REPORT_INTERVAL).await;
        let lines = dropped.dropped_lines();
        if lines > reported {
            tracing::warn!(
                lines,
                "log lines were lost since the start: they were written faster than standard error was read"
            );
            reported = lines;
        }
    }
}

/// Logs panics. The standard library's hook would write to standard error itself, and block until that is read.
pub(super) fn log_panics() {
    panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(tracing::field::display);
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
}

/// Shortens and escapes JSON lines, each of which the formatter writes in one call.
struct JsonLine(NonBlocking);

impl Write for JsonLine {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(text::json_line(line).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
