//! What the tests share.

mod bare_server;
mod caller;
mod collector;
mod command;
mod forward_proxy;
mod gateway;
mod image_service;
mod internal;
mod nginx;
pub mod packages;
mod process;
mod proxy;
mod raw;
mod redis;
mod s3;
mod sentinel;
mod tls;
mod traffic;
mod wall_clock;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use wxgate::account::AppId;
use wxgate::sandbox::{Fault, SandboxConfig};

pub use bare_server::BareServer;
pub use caller::{Answer, Caller};
pub use collector::{Collector, attribute};
pub use command::Ran;
pub use forward_proxy::{ForwardProxy, proxy_password_forms};
pub use gateway::{Gateway, GatewayBuilder, SandboxHost, account, accounts};
pub use image_service::ImageService;
pub use nginx::NginxProcess;
pub use process::{GatewayProcess, compile_preloaded};
pub use proxy::{Lost, Proxy};
pub use raw::{Raw, RawAnswer};
pub use redis::{RedisServer, connection, free_address};
pub use s3::S3Server;
pub use sentinel::Sentinel;
pub use tls::{Certificate, Tls, TlsFront, openssl};
pub use traffic::Traffic;
pub use wall_clock::WallClock;

/// The longest that anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The longest that a time limit of a second or less, or one of the server's own, may take on such a machine.
pub const SOON: Duration = Duration::from_secs(5);

/// Waits until `probe` is true; fails with `what` after [`LIMIT`].
pub async fn until<F: Future<Output = bool>>(what: &str, probe: impl Fn() -> F) {
    let end = Instant::now() + LIMIT;
    while !probe().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Checks for `time` that `probe` stays true, for what must not happen.
pub async fn always<F: Future<Output = bool>>(what: &str, time: Duration, probe: impl Fn() -> F) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(probe().await, "it did not stay true that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal to a process that the test has started, by its name: `STOP`.
fn send_signal(child: &std::process::Child, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// WeChat carries out the call and holds back its answer.
pub const HELD: Fault = Fault::Hold {
    before_operation: false,
};

/// An `internal.operator_key`.
pub const OPERATOR_KEY: &str = "open-sesame-open-sesame";

/// A WeChat where a classic token that is replaced dies at once.
pub fn no_overlap() -> SandboxConfig {
    SandboxConfig {
        token_overlap: Some(Duration::ZERO),
        ..SandboxConfig::default()
    }
}

/// Where the default settings keep the token in Redis.
pub fn token_key(app_id: &AppId) -> String {
    format!("weChat_client_credential:access_token:{app_id}")
}

/// Where the default settings keep the ticket.
pub fn ticket_key(app_id: &AppId) -> String {
    format!("weChat_client_credential:jsapi_ticket:{app_id}")
}

/// Where the default settings keep the lock.
pub fn lock_key(app_id: &AppId) -> String {
    format!("weChatApiToken:{app_id}")
}

/// Enough of a photo for tests of credentials.
pub const TINY_PHOTO: &[u8] = b"\xFF\xD8\xFF\xE0 a photo \xFF\xD9";

/// A real photo.
pub fn photo(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/photos")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `text` as `encodeURIComponent` writes it.
pub fn encode_uri_component(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(text, KEPT).to_string()
}
