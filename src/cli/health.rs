//! `wxgate health`: for a container's health check, where there is no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{ConfigArgs, Failure, block_on};
use crate::settings::Settings;

pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let mut sources = args.sources();
    // Only the address matters here, and `serve --sandbox` needs no account.
    let account = ["WXGATE_APP_ID", "WXGATE_APP_SECRET"].map(|name| (name.to_owned(), "health".to_owned()));
    sources.env.extend(account);
    let settings = Settings::load(&sources).map_err(|problems| Failure::Settings(problems.to_string()))?;
    let address = reachable(settings.server.listen);
    block_on(async {
        let failed = |error: reqwest::Error| Failure::Running(format!("{address} does not answer: {error}"));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(3))
            .build()
            .map_err(failed)?;
        let answer = client
            .get(format!("http://{address}/healthz"))
            .send()
            .await
            .map_err(failed)?;
        answer.error_for_status().map(drop).map_err(failed)
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
