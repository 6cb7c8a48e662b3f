//! `[[accounts]]`: one WeChat account.

use serde::{Deserialize, Serialize};

use crate::account::AppId;
use crate::jssdk::JsDomain;
use crate::secret::Secret;

/// `[[accounts]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// The account's AppID.
    pub app_id: AppId,
    /// The account's AppSecret.
    pub app_secret: Secret,
    /// Which token call is used.
    pub token_api: TokenApi,
    /// Whether it signs pages; if not, no ticket for pages is kept.
    pub jsapi: bool,
    /// The domains whose pages are signed, as in WeChat's console; an empty list allows every page.
    pub js_domains: Vec<JsDomain>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            app_id: AppId::default(),
            app_secret: Secret::default(),
            token_api: TokenApi::default(),
            jsapi: true,
            js_domains: Vec::new(),
        }
    }
}

/// Which of WeChat's two token calls an account uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenApi {
    /// `POST /cgi-bin/stable_token`: a second call returns the same token.
    #[default]
    Stable,
    /// `GET /cgi-bin/token`: every call invalidates the previous token.
    Classic,
}
