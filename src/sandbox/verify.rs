//! `wx.config` as the WeChat app handles it: it checks the signature against the page that is open.

use serde::Serialize;
use serde_json::{Map, Value};

use super::clock::china_time;
use super::wechat::WeChat;
use crate::jssdk::{PageUrl, sign};

/// The result that the page's `wx.ready` or `wx.error` gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigResult {
    /// `config:ok`, or the reason for the failure.
    pub err_msg: String,
    /// The URL that was checked; on failure only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_auth_url: Option<[String; 1]>,
}

impl ConfigResult {
    /// True for `config:ok`.
    pub fn is_ok(&self) -> bool {
        self.err_msg == "config:ok"
    }
}

impl WeChat {
    /// Checks what a page passed to `wx.config`; `config` also holds the page's `url`.
    pub(super) fn verify(&mut self, config: &Map<String, Value>) -> ConfigResult {
        let given = |name: &str| match config.get(name) {
            Some(Value::String(text)) => text.clone(),
            // A timestamp may be a number; wx.config converts it to a string.
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let names = ["appId", "timestamp", "nonceStr", "signature", "url"];
        let [app_id, timestamp, nonce, signature, url] = names.map(given);
        let url = url.split('#').next().unwrap_or_default();
        let failed = |err_msg: String| ConfigResult {
            err_msg,
            real_auth_url: Some([url.to_owned()]),
        };
        if [&*app_id, &*timestamp, &*nonce, &*signature, url]
            .iter()
            .any(|value| value.is_empty())
        {
            return failed("config:fail".to_owned());
        }
        let (now, ttl, time) = (self.clock.now(), self.config.ticket_ttl, china_time(self.clock.unix()));
        let system_error = |code: i64, text: &str| {
            failed(format!(
                "config:fail,Error: 系统错误，错误码：{code},{text} [{time}][{app_id}]"
            ))
        };
        let Some(account) = self.account(&app_id) else {
            return system_error(40013, "invalid appid");
        };
        let domains = &account.config.js_domains;
        let covered = |page: PageUrl<'_>| domains.iter().any(|domain| domain.covers(&page));
        if !domains.is_empty() && !PageUrl::parse(url).is_ok_and(covered) {
            return system_error(40048, "invalid url domain");
        }
        let verifies = account
            .jsapi_tickets
            .unexpired(ttl, now)
            .any(|(ticket, _)| sign(ticket.expose(), &nonce, &timestamp, url) == signature);
        if verifies {
            ConfigResult {
                err_msg: "config:ok".to_owned(),
                real_auth_url: None,
            }
        } else {
            failed("config:invalid signature".to_owned())
        }
    }
}
