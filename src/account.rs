//! The AppID of a WeChat account.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The length of an AppSecret: WeChat issues hex digits.
pub(crate) const APP_SECRET_LEN: usize = 32;

/// An AppID: 1 to 64 characters of `[A-Za-z0-9_-]`, so that it needs no escaping in a Redis key, a metric label or a URL.
/// An empty one exists only until the settings are validated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AppId(Arc<str>);

impl AppId {
    /// The AppID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppId {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if value.is_empty() || value.len() > 64 || !value.bytes().all(allowed) {
            return Err("expected an AppID such as \"wx0123456789abcdef\" (1 to 64 letters, digits, _ or -)");
        }
        if value.len() == APP_SECRET_LEN && value.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(
                "expected the AppID, \"wx…\": this looks like an AppSecret (32 hex digits, not shown); have AppID and AppSecret \
                 been swapped?",
            );
        }
        if value.starts_with("ww") {
            return Err(
                "expected the AppID of a WeChat account, \"wx…\": one that begins with \"ww\" belongs to WeCom (企业微信), whose \
                 tokens and tickets come from another API (qyapi.weixin.qq.com) that wxgate does not support",
            );
        }
        if value.starts_with("gh_") {
            return Err(
                "expected the AppID, \"wx…\": \"gh_…\" is the account's original id (原始ID), which no API accepts",
            );
        }
        Ok(Self(value.into()))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
