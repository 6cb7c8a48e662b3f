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
        /// The time limit for connecting.
        #[serde(with = "values::PositiveDuration")]
        pub connect_timeout: Duration = Duration::from_secs(2),
        /// The time limit of an API call, and of a stall in a media download.
        #[serde(with = "values::PositiveDuration")]
        pub timeout: Duration = Duration::from_secs(5),
        /// The time limit of a whole media download.
        #[serde(with = "values::PositiveDuration")]
        pub media_timeout: Duration = Duration::from_secs(30),
    }
}

impl WeChat {
    /// The maximum duration of a call to WeChat: each host may use up its time to connect, and then the answer may take
    /// `timeout`. A renewal's lock must outlive such a call.
    pub(crate) fn call_limit(&self) -> Duration {
        let hosts = u32::try_from(1 + self.fallback_base_urls.len()).unwrap_or(u32::MAX);
        let connecting = self.connect_timeout.saturating_mul(hosts);
        self.timeout.saturating_add(connecting)
    }
}
