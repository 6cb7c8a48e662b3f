//! The types of single settings. Each type's constructor is its check, and each error says what was expected without
//! quoting the value: the loader decides whether that may be shown.

/// A setting that is a text, validated by its constructor.
macro_rules! text {
    ($(#[$attribute:meta])* pub struct $name:ident: $fits:expr, $expected:expr) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok(Self(text)) } else { Err($expected) }
            }
        }
    };
}

mod amount;
mod base_path;
mod header;
mod key_template;
mod log_filter;
mod network;
pub mod pem_file;
mod pointer;
mod proxy;
mod redis_url;
mod url;

use std::fmt::Display;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

pub use amount::{DurationWithin, PositiveDuration, SizeWithin};
pub use base_path::BasePath;
pub(crate) use base_path::is_plain_path;
pub use header::{CookieName, HeaderName};
pub use key_template::KeyTemplate;
pub use log_filter::LogFilter;
pub(super) use network::is_loopback;
pub use network::{DirectHost, HostPattern, HostPort, OptionalAddress, address, host_ip, networks};
pub use pointer::{JsonPointer, UrlPlace, is_same_scalar};
pub use proxy::HttpProxy;
pub use redis_url::RedisUrl;
pub(crate) use url::parse_http;
pub use url::{BaseUrl, KeySetUrl, OptionalUrl, Origin, PublicBase};

/// How a foreign type is written in settings; for serde's `with`, which calls the two provided functions.
pub trait AsText {
    /// The type.
    type Value;

    /// What to report if the text can't be parsed, without quoting it.
    fn expected() -> impl Display;

    /// Parses a text.
    fn parse(text: &str) -> Option<Self::Value>;

    /// A text that parses to the value.
    fn print(value: &Self::Value) -> String;

    /// Reads a value.
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(Self::expected()))
    }

    /// Writes a value.
    fn serialize<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::print(value))
    }
}

/// The value of a default that the code writes as text.
#[expect(
    clippy::expect_used,
    reason = "the texts are in the code, and a test builds every default"
)]
pub(super) fn built_in<T, V: TryFrom<T, Error = &'static str>>(text: T) -> V {
    text.try_into().expect("built-in default")
}
