//! `[wechat]`: how WeChat is reached.

use std::time::Duration;

use crate::settings::values::{self, AsText, built_in};

section! {
    /// `[wechat]`.
    pub struct WeChat {
        /// Scheme and host of WeChat's API.
        pub api_base_url: values::BaseUrl = built_in("https://api.weixin.qq.com".to_owned()),
        /// Hosts tried in turn if no connection to the previous one can be made.
        pub fallback_base_urls: Vec<values::BaseUrl> = Vec::new(),
        /// The longest that connecting may take.
        #[serde(with = "values::PositiveDuration")]
        pub connect_timeout: Duration = Duration::from_secs(2),
        /// The longest one API call may take, and a media download may stall.
        #[serde(with = "values::PositiveDuration")]
        pub timeout: Duration = Duration::from_secs(5),
        /// The longest a whole media download may take.
        #[serde(with = "values::PositiveDuration")]
        pub media_timeout: Duration = Duration::from_secs(30),
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
