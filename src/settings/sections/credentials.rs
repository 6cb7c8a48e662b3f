//! `[credentials]`: how `access_token` and `jsapi_ticket` are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::values::{self, AsText, built_in};

section! {
    /// `[credentials]`.
    pub struct Credentials {
        /// Where they are shared.
        pub backend: Backend = Backend::default(),
        /// How long before expiry they are renewed.
        #[serde(with = "values::PositiveDuration")]
        pub refresh_ahead: Duration = Duration::from_mins(5),
        /// How long a ticket is used at most before it is requested again.
        #[serde(with = "values::DurationWithin::<1, 720>")]
        pub ticket_max_age: Duration = Duration::from_hours(1),
        /// Token calls per account, cluster and day; 0 means no limit.
        pub daily_token_calls: u32 = 500,
        /// How often a replica checks for credentials that another one renewed: each replica queries Redis this often for
        /// each account.
        #[serde(with = "values::DurationWithin::<10, 24>")]
        pub adopt_interval: Duration = Duration::from_secs(2),
        /// How long the lock outlives a holder that died.
        #[serde(with = "values::PositiveDuration")]
        pub lock_ttl: Duration = Duration::from_secs(30),
        /// How long a replica waits for the lock at most.
        #[serde(with = "values::PositiveDuration")]
        pub lock_wait: Duration = Duration::from_secs(10),
        /// The token's key in Redis.
        pub token_key: values::KeyTemplate = built_in("weChat_client_credential:access_token:{app_id}".to_owned()),
        /// The ticket's key in Redis.
        pub ticket_key: values::KeyTemplate = built_in("weChat_client_credential:jsapi_ticket:{app_id}".to_owned()),
        /// The lock's key in Redis.
        pub lock_key: values::KeyTemplate = built_in("weChatApiToken:{app_id}".to_owned()),
    }
}

/// Where credentials are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In this process alone.
    #[default]
    Memory,
    /// In Redis, for all replicas.
    Redis,
}
