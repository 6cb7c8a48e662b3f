//! What the stories have in common.

mod gateway;
mod image_service;
mod process;
mod redis;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use gateway::{Answer, Gateway, GatewayBuilder, SandboxHost, account};
pub use image_service::ImageService;
pub use process::GatewayProcess;
pub use redis::{RedisServer, free_address};

/// The longest that anything awaited may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `probe` is true; fails with `what` after [`LIMIT`].
pub async fn until<F: Future<Output = bool>>(what: &str, probe: impl Fn() -> F) {
    let end = Instant::now() + LIMIT;
    while !probe().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

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
