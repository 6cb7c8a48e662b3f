//! `wxgate health`: for a container's health check, where there is no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{ConfigArgs, Failure, block_on};

pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let address = reachable(args.load()?.server.listen);
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
