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

impl WeChat {
    /// The longest that one call to WeChat can take: each host may use up its time to connect, and then the answer may
    /// take `timeout`. The lock of a renewal must outlive such a call.
    pub(crate) fn call_limit(&self) -> Duration {
        let hosts = u32::try_from(1 + self.fallback_base_urls.len()).unwrap_or(u32::MAX);
        let connecting = self.connect_timeout.saturating_mul(hosts);
        self.timeout.saturating_add(connecting)
    }
}
