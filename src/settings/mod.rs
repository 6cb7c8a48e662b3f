//! What the operator configures, in TOML and environment variables; checked at start and parsed into typed values, so
//! that later code never sees an invalid one.
//!
//! - `values`: the types of single settings
//! - `sections`: a struct per section, with its defaults; the field docs are the manual
//! - `file`: reads the settings file, secret files and PEM files, all of limited size; trims secrets
//! - `problem`: problems with the settings, as the operator reads them
//! - `resolved`: the sections with several kinds, reduced to the chosen kind
//! - `validate`: checks that involve more than one field; `warnings`: what is allowed but risky
//! - `loader`: how file, environment and secret files become [`Settings`]
//! - [`CurrentSettings`]: the settings in use, whose secrets may be replaced while the gateway runs

mod file;
mod loader;
mod problem;
pub mod resolved;
mod sections;
#[cfg(test)]
mod tests;
mod validate;
pub mod values;
mod warnings;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::account::AppId;
use crate::secret::Secret;
pub use loader::{Partial, Reread, SecretFiles, Sources};
pub use problem::{Problem, Problems, UnusableSetting};
pub use sections::*;

/// Everything an operator can set, complete and checked.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The public listener.
    pub server: Server,
    /// The internal listener.
    pub internal: Internal,
    /// Every outgoing HTTP connection.
    pub http_client: HttpClient,
    /// How WeChat is reached.
    pub wechat: WeChat,
    /// The WeChat accounts; the first is the default one.
    pub accounts: Vec<Account>,
    /// How `access_token` and `jsapi_ticket` are kept.
    pub credentials: Credentials,
    /// The Redis that replicas share.
    pub redis: Redis,
    /// What may be uploaded.
    pub media: Media,
    /// Where pictures go.
    pub image_store: ImageStore,
    /// Who may use the upload route.
    pub auth: Auth,
    /// Requests per client address.
    pub rate_limit: RateLimit,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// What the program uses of the sections with several kinds; filled in by the loader.
    #[serde(skip)]
    pub resolved: resolved::Resolved,
    /// What these settings were built from, so that secrets from files can be replaced; filled in by the loader.
    #[serde(skip)]
    origin: loader::Layer,
}

/// The settings in use, for code that needs a secret's current value: secrets from files are replaced when the files
/// change. Nothing else in the settings ever changes.
pub type CurrentSettings = Arc<ArcSwap<Settings>>;

/// As `wxgate config` prints them.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_masked_toml())
    }
}

impl Settings {
    /// The AppSecret of the account `app_id`, if the settings have that account.
    pub fn app_secret(&self, app_id: &AppId) -> Option<&Secret> {
        let account = self.accounts.iter().find(|account| account.app_id == *app_id)?;
        Some(&account.app_secret)
    }

    /// The settings as TOML, in the order of the documentation, secrets masked.
    ///
    /// # Panics
    ///
    /// If `image_store.local.directory` is not UTF-8, which it always is in loaded settings.
    #[expect(
        clippy::expect_used,
        reason = "every other field is text, a number, a boolean, or lists and tables of them"
    )]
    pub fn to_masked_toml(&self) -> String {
        toml::to_string(self).expect("settings can be written as TOML")
    }
}
