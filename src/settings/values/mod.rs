//! The types of single settings. Each one's constructor is its check, and each one's error says
//! what was expected without repeating what was given: the loader decides whether that may be shown.

mod amount;
mod as_text;
mod ca_file;
mod key_template;
mod log_filter;
mod network;
pub(super) mod pem_file;
mod pointer;
mod proxy;
mod redis_url;
mod url;

pub use amount::{DurationOrZero, PositiveDuration, Size};
pub use as_text::AsText;
pub use ca_file::CaFile;
pub use key_template::KeyTemplate;
pub use log_filter::LogFilter;
pub use network::{Address, HostPort, OptionalAddress, networks};
pub use pointer::{JsonPointer, Scalar, UrlPlace};
pub use proxy::{DirectHost, HttpProxy, ProxyUrl};
pub use redis_url::RedisUrl;
pub(crate) use url::parse_http;
pub use url::{BaseUrl, OptionalUrl, Origin, PublicBase};

/// The value of a default that is written as text in the code.
#[expect(
    clippy::expect_used,
    reason = "the texts are in the code, and a test builds every default"
)]
pub(super) fn built_in<T, V: TryFrom<T, Error = &'static str>>(text: T) -> V {
    text.try_into().expect("built-in default")
}
