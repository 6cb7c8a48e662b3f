//! `wxgate serve`: the gateway, with WeChat or with the sandbox.

use std::net::SocketAddr;

use clap::Args;

use super::sandbox::LocalSandbox;
use super::signal::stop_on_signal;
use super::{CommandFailure, ConfigArgs, address, block_on, print};
use crate::app::{App, AppParts, StartError, replica_name};
use crate::http::serve::raise_open_files;
use crate::http_client;
use crate::sandbox::SandboxConfig;
use crate::settings::Settings;
use crate::settings::values::BasePath;
use crate::telemetry::{self, Traces};

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run against the built-in WeChat sandbox, with a demo page: no account, no Redis, no settings needed
    #[arg(long)]
    sandbox: bool,
    /// Where that sandbox listens, for its control API; port 0 is any free port
    #[arg(long, value_name = "ADDR", requires = "sandbox", default_value = "127.0.0.1:0")]
    sandbox_listen: SocketAddr,
}

pub(super) fn run(args: &ServeArgs) -> Result<(), CommandFailure> {
    block_on(async {
        let mut sources = args.config.sources();
        let mut sandbox = None;
        if args.sandbox {
            let open = LocalSandbox::listen(SandboxConfig::default(), args.sandbox_listen).await?;
            sources.overrides = open.settings();
            sandbox = Some(open);
        }
        let settings = Settings::load(&sources)?;
        let replica = replica_name();
        let traces =
            telemetry::init(&settings, &replica).map_err(|error| CommandFailure::Settings(error.to_string()))?;
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let page = sandbox.as_ref().map(|open| open.sandbox.phone_router());
        let parts = AppParts {
            settings,
            replica,
            sandbox: page.unwrap_or_default(),
        };
        serve(parts, sandbox, traces).await
    })
}

async fn serve(parts: AppParts, sandbox: Option<LocalSandbox>, traces: Option<Traces>) -> Result<(), CommandFailure> {
    raise_open_files();
    let stop = stop_on_signal()?;
    let base_path = parts.settings.server.base_path.clone();
    let proxy = http_client::proxy_notice(&parts.settings.http_client);
    let app = App::build(parts).await;
    let app = app.map_err(|error| match error {
        StartError::Setting(_) => CommandFailure::Settings(error.to_string()),
        // Not a mistake in the settings: another process may free the port.
        StartError::Listen { .. } | StartError::Metrics(_) => CommandFailure::Running(error.to_string()),
    })?;
    let address = app
        .public_address()
        .map_err(|error| CommandFailure::Running(error.to_string()))?;
    if let Some(notice) = proxy {
        tracing::info!("{notice}");
    }
    let internal = app.internal_address().map(tracing::field::display);
    tracing::info!(public = %address, internal, "wxgate {} serves", env!("CARGO_PKG_VERSION"));
    if let Some(sandbox) = &sandbox {
        print(&introduction(address, &base_path, sandbox.address))?;
    }
    let fake_wechat = async {
        if let Some(sandbox) = sandbox {
            sandbox.run(stop.clone()).await;
        }
    };
    tokio::join!(app.run(stop.clone()), fake_wechat);
    if let Some(traces) = traces {
        traces.flush().await;
    }
    Ok(())
}

/// The URLs of the demo page and of the sandbox.
fn introduction(public: SocketAddr, base_path: &BasePath, sandbox: SocketAddr) -> String {
    let mut text = format!(
        "The demo page: {}{}/\nThe sandbox's faults and state: {}/sandbox",
        address::url(public),
        base_path.as_str(),
        address::url(sandbox)
    );
    // The gateway is probably in a container, where loopback can't be reached from outside.
    if public.ip().is_unspecified() && sandbox.ip().is_loopback() {
        text.push_str("  (on this host or in this container only; see --sandbox-listen)");
    }
    text
}
