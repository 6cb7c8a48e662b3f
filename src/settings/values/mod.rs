//! The types of single settings. Each one's constructor is its check, and each one's error says
//! what was expected without repeating what was given: the loader decides whether that may be shown.

mod amount;
mod ca_file;
mod key_template;
mod log_filter;
mod network;
mod pointer;
mod proxy;
mod redis_url;
mod secret_list;
mod url;

pub use amount::{duration, duration_or_zero, size};
pub use ca_file::CaFile;
pub use key_template::KeyTemplate;
pub use log_filter::LogFilter;
pub use network::{HostPort, address, networks, optional_address};
pub use pointer::{JsonPointer, Scalar};
pub use proxy::{DirectHost, HttpProxy, ProxyUrl};
pub use redis_url::RedisUrl;
pub use secret_list::SecretList;
pub use url::{BaseUrl, Origin, PublicBase, optional_url};
