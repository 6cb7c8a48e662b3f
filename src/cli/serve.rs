//! `wxgate serve`: the gateway, against WeChat or against the sandbox.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::sandbox::DeskSandbox;
use super::{ConfigArgs, Failure, block_on, print};
use crate::app::{App, replica_name};
use crate::settings::Settings;
use crate::telemetry::{self, Traces};

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run against the built-in WeChat sandbox, with a demo page: no account, no Redis, no settings needed
    #[arg(long)]
    sandbox: bool,
}

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    block_on(async {
        let mut sources = args.config.sources();
        let sandbox = if args.sandbox {
            Some(DeskSandbox::open().await?)
        } else {
            None
        };
        if let Some(sandbox) = &sandbox {
            sources.overrides = sandbox.settings();
        }
        let settings = Settings::load(&sources).map_err(|problems| Failure::Settings(problems.to_string()))?;
        let traces = telemetry::init(&settings, &replica_name())
            .map_err(|error| Failure::Settings(format!("telemetry.otlp_endpoint: {error}")))?;
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        serve(settings, sandbox, traces).await
    })
}

async fn serve(settings: Settings, sandbox: Option<DeskSandbox>, traces: Option<Traces>) -> Result<(), Failure> {
    crate::server::raise_open_files();
    let stop = stop_on_signal()?;
    let page = sandbox.as_ref().map(DeskSandbox::page);
    let app = App::build(settings, page.unwrap_or_default()).await;
    let app = app.map_err(|error| Failure::Settings(error.to_string()))?;
    if let Some(traces) = traces {
        app.at_end(traces.flush());
    }
    let address = app
        .public_address()
        .map_err(|error| Failure::Running(error.to_string()))?;
    let internal = app.internal_address().map(tracing::field::display);
    tracing::info!(public = %address, internal, "wxgate {} serves", env!("CARGO_PKG_VERSION"));
    if let Some(sandbox) = &sandbox {
        print(&format!("The demo page: http://{address}/"))?;
        print(&format!(
            "The sandbox's faults and state: http://{}/sandbox",
            sandbox.address()
        ))?;
    }
    let fake_wechat = async {
        if let Some(sandbox) = sandbox {
            sandbox.run(stop.clone()).await;
        }
    };
    tokio::join!(app.run(stop.clone()), fake_wechat);
    Ok(())
}

/// A token that SIGTERM and SIGINT cancel.
pub(super) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::Running(format!("signals can't be handled: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}
