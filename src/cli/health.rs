//! `wxgate health`: for a container's health check, where there is no curl.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;

use super::{ConfigArgs, Failure, block_on};
use crate::settings::Settings;
use crate::wire::Wire;

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
        let wire = Wire::outbound(LIMIT).map_err(|error| failed(&error))?;
        let request = Request::get(format!("http://{address}/healthz")).body(Body::empty());
        let answer = wire.send(request.map_err(|error| failed(&error))?, LIMIT).await;
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
