//! `[[accounts]]`: one WeChat account.

use serde::{Deserialize, Serialize};

use crate::account::AppId;
use crate::jssdk::JsDomain;
use crate::secret::Secret;

section! {
    /// `[[accounts]]`.
    pub struct Account {
        /// The account's AppID.
        pub app_id: AppId = AppId::default(),
        /// The account's AppSecret.
        pub app_secret: Secret = Secret::default(),
        /// Which token call is used.
        pub token_api: TokenApi = TokenApi::default(),
        /// Whether the account signs pages; if not, it keeps no ticket for pages.
        pub jsapi: bool = true,
        /// The domains whose pages are signed, as in WeChat's console; an empty list allows every page.
        pub js_domains: Vec<JsDomain> = Vec::new(),
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
