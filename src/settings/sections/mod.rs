//! The sections of the settings file, with each default next to its field.
//!
//! To add a setting: its field with its default and, if it can conflict with others, a check in `validate`; the code that
//! uses it; `config/wxgate.example.toml` and `docs/reference/settings.md` in both languages. Tests name the documents
//! that are still missing.

/// A section whose defaults differ from those of its fields' types, each next to its field.
macro_rules! section {
    ($(#[$doc:meta])* pub struct $section:ident {
        $($(#[$attribute:meta])* pub $field:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

mod account;
mod auth;
mod credentials;
mod http_client;
mod image_store;
mod media;
mod rate_limit;
mod redis;
mod server;
mod telemetry;
mod wechat;

pub use account::{Account, TokenApi};
pub use auth::{Auth, AuthMode};
pub use credentials::{Backend, Credentials};
pub use http_client::HttpClient;
pub use image_store::{HttpStore, ImageStore, ImageStoreBackend, LocalStore, S3Store};
pub use media::Media;
pub use rate_limit::RateLimit;
pub use redis::{Redis, RedisMode};
pub use server::{Client, Internal, Server};
pub use telemetry::{LogFormat, Telemetry};
pub use wechat::WeChat;
