//! Signals that end the process.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CommandFailure;
use crate::telemetry;

/// A token that the first SIGTERM, SIGINT or SIGHUP cancels. A later SIGTERM or SIGINT ends the process at once, with
/// exit code 1.
pub(super) fn stop_on_signal() -> Result<CancellationToken, CommandFailure> {
    let listen =
        |kind| signal(kind).map_err(|error| CommandFailure::Running(format!("signals can't be handled: {error}")));
    let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let hang_up = listen(SignalKind::hangup())?;
    let stop = CancellationToken::new();
    tokio::spawn(watch(terminate, interrupt, hang_up, stop.clone()));
    Ok(stop)
}

async fn watch(mut terminate: Signal, mut interrupt: Signal, mut hang_up: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::warn!("second signal: exiting without waiting for the drain");
    telemetry::flush_log();
    process::exit(1);
}
