//! The APIs that the sandbox knows, by name and path.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// One of WeChat's APIs. Faults and counts use these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `GET /cgi-bin/token`.
    Token,
    /// `POST /cgi-bin/stable_token`.
    StableToken,
    /// `GET /cgi-bin/ticket/getticket`.
    GetTicket,
    /// `POST /cgi-bin/media/upload`.
    MediaUpload,
    /// `GET /cgi-bin/media/get`.
    MediaGet,
    /// `GET /cgi-bin/get_api_domain_ip`.
    GetApiDomainIp,
    /// `GET /cgi-bin/getcallbackip`.
    GetCallbackIp,
    /// `POST /cgi-bin/clear_quota`.
    ClearQuota,
    /// `POST /cgi-bin/clear_quota/v2`.
    ClearQuotaV2,
    /// `POST /cgi-bin/openapi/quota/get`.
    QuotaGet,
    /// `POST /cgi-bin/message/custom/send`: an example of the many calls that only need a token.
    CustomSend,
    /// Any other path: 404.
    Other,
}

/// Each API's path, its method, and its calls per account and day (接口调用频次限制说明). For tickets the sources disagree, from
/// 10,000 to 5,000,000; the limits of a million are not published individually.
const APIS: [(Api, &str, Method, u64); 11] = [
    (Api::Token, "/cgi-bin/token", Method::GET, 2000),
    (Api::StableToken, "/cgi-bin/stable_token", Method::POST, 500_000),
    (Api::GetTicket, "/cgi-bin/ticket/getticket", Method::GET, 5_000_000),
    (Api::MediaUpload, "/cgi-bin/media/upload", Method::POST, 100_000),
    (Api::MediaGet, "/cgi-bin/media/get", Method::GET, 200_000),
    (
        Api::GetApiDomainIp,
        "/cgi-bin/get_api_domain_ip",
        Method::GET,
        1_000_000,
    ),
    (Api::GetCallbackIp, "/cgi-bin/getcallbackip", Method::GET, 1_000_000),
    (Api::ClearQuota, "/cgi-bin/clear_quota", Method::POST, 1_000_000),
    (Api::ClearQuotaV2, "/cgi-bin/clear_quota/v2", Method::POST, 1_000_000),
    (Api::QuotaGet, "/cgi-bin/openapi/quota/get", Method::POST, 1_000_000),
    (Api::CustomSend, "/cgi-bin/message/custom/send", Method::POST, 500_000),
];

impl Api {
    pub(super) fn at(path: &str) -> Self {
        let known = APIS.iter().find(|(_, at, ..)| *at == path);
        known.map_or(Self::Other, |(api, ..)| *api)
    }

    /// The `errcode` for a call with this method, if the method is wrong.
    pub(super) fn refuses(self, method: &Method) -> Option<i64> {
        let (.., right, _) = APIS.iter().find(|(api, ..)| *api == self)?;
        if right == Method::GET {
            (!matches!(*method, Method::GET | Method::HEAD)).then_some(43001)
        } else {
            (method != right).then_some(43002)
        }
    }

    pub(super) fn documented_daily_limit(self) -> u64 {
        let known = APIS.iter().find(|(api, ..)| *api == self);
        known.map_or(1_000_000, |(.., limit)| *limit)
    }
}
