//! What holds where the operator says nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::values::{JsonPointer, Scalar};
use super::{Credentials, HttpStore, Internal, LocalStore, Media, Redis, S3Store, Server, Telemetry, WeChat};
use crate::picture::Kind;
use crate::secret::Secret;

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            request_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(15),
            shutdown_delay: Duration::ZERO,
            trusted_proxies: Vec::new(),
            cors_allowed_origins: Vec::new(),
            docs: true,
        }
    }
}

impl Default for Internal {
    fn default() -> Self {
        Self {
            listen: Some(loopback(9090)),
            proxy: true,
            operator_key: Secret::default(),
            clients: Vec::new(),
        }
    }
}

impl Default for WeChat {
    fn default() -> Self {
        Self {
            api_base_url: built_in("https://api.weixin.qq.com".to_owned()),
            fallback_base_urls: Vec::new(),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            media_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            backend: super::Backend::default(),
            refresh_ahead: Duration::from_mins(5),
            ticket_max_age: Duration::from_hours(1),
            daily_token_calls: 500,
            adopt_interval: Duration::from_secs(2),
            lock_ttl: Duration::from_secs(30),
            lock_wait: Duration::from_secs(10),
            token_key: built_in("weChat_client_credential:access_token:{app_id}".to_owned()),
            ticket_key: built_in("weChat_client_credential:jsapi_ticket:{app_id}".to_owned()),
            lock_key: built_in("weChatApiToken:{app_id}".to_owned()),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            mode: super::RedisMode::default(),
            url: built_in(Secret::new("redis://127.0.0.1:6379/0")),
            nodes: Vec::new(),
            sentinel_service: "mymaster".to_owned(),
            username: String::new(),
            password: Secret::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            max_bytes: 20 * bytesize::MIB,
            allowed_types: Kind::ALL.to_vec(),
            remember_for: Duration::from_hours(72),
            max_concurrent: 64,
        }
    }
}

impl Default for LocalStore {
    fn default() -> Self {
        Self {
            directory: "data/images".into(),
            public_base_url: built_in("/images".to_owned()),
        }
    }
}

impl Default for HttpStore {
    fn default() -> Self {
        Self {
            url: None,
            field: "file".to_owned(),
            headers: std::collections::BTreeMap::new(),
            success_pointer: built_in::<_, JsonPointer>("/code".to_owned()),
            success_value: Scalar::Integer(0),
            url_pointer: built_in("/data".to_owned()),
            timeout: Duration::from_secs(30),
            attempts: 3,
        }
    }
}

impl Default for S3Store {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: String::new(),
            access_key_id: Secret::default(),
            secret_access_key: Secret::default(),
            path_style: true,
            public_base_url: None,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: super::LogFormat::default(),
            log_level: built_in("info".to_owned()),
            otlp_endpoint: None,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Turns a text of this file into its type.
#[expect(
    clippy::expect_used,
    reason = "the texts stand in this file, and a test builds every default"
)]
fn built_in<T, V: TryFrom<T, Error = &'static str>>(text: T) -> V {
    text.try_into().expect("built-in default")
}
