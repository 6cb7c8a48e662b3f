//! `wxgate health`: for health checks in containers without curl.

use std::fmt::Display;
use std::time::Duration;

use clap::Args;
use http::uri::Authority;
use reqwest::ClientBuilder;

use super::{CommandFailure, ConfigArgs, address, block_on};
use crate::http_client::{self, HttpError};
use crate::settings::values::HttpProxy;
use crate::settings::{HttpClient, Settings};

/// The time limit for the gateway's answer.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The gateway or the sandbox to ask, by HTTP or else by TLS [default: the gateway at server.listen; no other
    /// setting is read]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Option<Authority>,
}

fn host_and_port(text: &str) -> Result<Authority, &'static str> {
    let address = text.parse::<Authority>().ok();
    let address = address.filter(|address| address.port_u16().is_some() && !text.contains('@'));
    address.ok_or("expected HOST:PORT")
}

impl HealthArgs {
    fn address(&self) -> Result<String, CommandFailure> {
        if let Some(address) = &self.address {
            return Ok(address.to_string());
        }
        // A mistake elsewhere in the settings does not make a serving gateway unhealthy.
        let partial = Settings::load_partial(&self.config.sources());
        match partial.problems_of("server.listen") {
            Some(problems) => Err(problems.into()),
            None => Ok(address::from_here(partial.settings.server.listen).to_string()),
        }
    }
}

pub(super) fn run(args: &HealthArgs) -> Result<(), CommandFailure> {
    let address = args.address()?;
    block_on(async {
        let failed = |why: &dyn Display| CommandFailure::Running(format!("{address} does not answer: {why}"));
        let direct = HttpClient {
            proxy: HttpProxy::Never,
            ..HttpClient::default()
        };
        // Liveness does not depend on the certificate, whose names do not include this address.
        let options = |client: ClientBuilder| client.tls_danger_accept_invalid_certs(true);
        let client = http_client::build_with(&direct, LIMIT, options).map_err(|error| failed(&error))?;
        let ask = |scheme: &str| http_client::send(client.get(format!("{scheme}://{address}/healthz")), LIMIT);
        let answer = match ask("http").await {
            // An internal listener that speaks TLS closes the connection.
            Err(HttpError::Broken(why)) => ask("https").await.map_err(|_| failed(&why)),
            answer => answer.map_err(|error| failed(&error)),
        };
        let status = answer?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(CommandFailure::Running(format!(
                "{address} answers with HTTP status {status}"
            )))
        }
    })
}
