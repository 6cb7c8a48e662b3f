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

const PATHS: [(Api, &str); 11] = [
    (Api::Token, "/cgi-bin/token"),
    (Api::StableToken, "/cgi-bin/stable_token"),
    (Api::GetTicket, "/cgi-bin/ticket/getticket"),
    (Api::MediaUpload, "/cgi-bin/media/upload"),
    (Api::MediaGet, "/cgi-bin/media/get"),
    (Api::GetApiDomainIp, "/cgi-bin/get_api_domain_ip"),
    (Api::GetCallbackIp, "/cgi-bin/getcallbackip"),
    (Api::ClearQuota, "/cgi-bin/clear_quota"),
    (Api::ClearQuotaV2, "/cgi-bin/clear_quota/v2"),
    (Api::QuotaGet, "/cgi-bin/openapi/quota/get"),
    (Api::CustomSend, "/cgi-bin/message/custom/send"),
];

impl Api {
    pub(super) fn at(path: &str) -> Self {
        let known = PATHS.iter().find(|(_, at)| *at == path);
        known.map_or(Self::Other, |(api, _)| *api)
    }

    /// The `errcode` for a call with this method, if it is the wrong one.
    pub(super) fn refuses(self, method: &Method) -> Option<i64> {
        let get = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Token | Self::GetTicket | Self::MediaGet | Self::GetApiDomainIp | Self::GetCallbackIp => {
                (!get).then_some(43001)
            }
            Self::StableToken
            | Self::MediaUpload
            | Self::ClearQuota
            | Self::ClearQuotaV2
            | Self::QuotaGet
            | Self::CustomSend => (*method != Method::POST).then_some(43002),
            Self::Other => None,
        }
    }

    /// Calls per account and day (接口调用频次限制说明). For tickets the sources disagree, from 10,000
    /// to 5,000,000; the rest are not published one by one.
    pub(super) fn documented_daily_limit(self) -> u64 {
        match self {
            Self::Token => 2000,
            Self::MediaUpload => 100_000,
            Self::MediaGet => 200_000,
            Self::StableToken | Self::CustomSend => 500_000,
            Self::GetTicket => 5_000_000,
            _ => 1_000_000,
        }
    }
}
