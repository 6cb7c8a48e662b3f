//! `[wechat]`: how WeChat is reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::values::{self, AsText, built_in};

/// `[wechat]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeChat {
    /// Scheme and host of WeChat's API.
    pub api_base_url: values::BaseUrl,
    /// Hosts tried in turn if no connection to the previous one can be made.
    pub fallback_base_urls: Vec<values::BaseUrl>,
    /// The longest that connecting may take.
    #[serde(with = "values::PositiveDuration")]
    pub connect_timeout: Duration,
    /// The longest one API call may take, and a media download may stall.
    #[serde(with = "values::PositiveDuration")]
    pub timeout: Duration,
    /// The longest a whole media download may take.
    #[serde(with = "values::PositiveDuration")]
    pub media_timeout: Duration,
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
