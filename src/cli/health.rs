//! `wxgate health`: for a container's health check, where there is no curl.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{ConfigArgs, Failure, block_on};
use crate::http_client;
use crate::settings::values::HttpProxy;
use crate::settings::{HttpClient, Settings};

/// The longest that the gateway may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let settings = args.load().or_else(|failure| {
        // Only the address matters here, and `serve --sandbox` needs no account.
        let account = ["WXGATE_APP_ID", "WXGATE_APP_SECRET"].map(|name| (name.to_owned(), "health".to_owned()));
        let mut sources = args.sources();
        sources.overrides = account.into();
        Settings::load(&sources).map_err(|_| failure)
    })?;
    let address = reachable(settings.server.listen);
    block_on(async {
        let failed = |why: &dyn Display| Failure::Running(format!("{address} does not answer: {why}"));
        let direct = HttpClient {
            proxy: HttpProxy::Never,
            ..HttpClient::default()
        };
        let client = http_client::build(&direct, LIMIT).map_err(|error| failed(&error))?;
        let request = client.get(format!("http://{address}/healthz"));
        let answer = http_client::send(request, LIMIT).await;
        let status = answer.map_err(|error| failed(&error))?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure::Running(format!("{address} answers with HTTP status {status}")))
        }
    })
}

/// Where a listener on every address is reached from its own host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}
