//! The code table: every way in which a request can fail, with HTTP status, number and name. The documentation of
//! failures is made from it too.

use http::StatusCode;

/// A way in which a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Code::when` describes each")]
pub enum Code {
    ParamInvalid,
    PreconditionFailed,
    RangeNotSatisfiable,
    UrlInvalid,
    DomainNotAllowed,
    AccountUnknown,
    Unauthorized,
    RateLimited,
    BodyTooLarge,
    BodyNotJson,
    NotFound,
    MethodNotAllowed,
    WechatUnreachable,
    WechatTimedOut,
    WechatStatus,
    WechatBody,
    WechatRefused,
    MediaNotFound,
    MediaRejected,
    ImageStoreFailed,
    ImageStoreTimedOut,
    CredentialUnavailable,
    Overloaded,
    RequestTimeout,
    Internal,
}

/// One row of the table.
struct Row {
    status: StatusCode,
    number: u16,
    name: &'static str,
    when: &'static str,
}

impl Code {
    /// Every code, in the table's order.
    pub const ALL: [Code; 25] = [
        Code::ParamInvalid,
        Code::PreconditionFailed,
        Code::RangeNotSatisfiable,
        Code::UrlInvalid,
        Code::DomainNotAllowed,
        Code::AccountUnknown,
        Code::Unauthorized,
        Code::RateLimited,
        Code::BodyTooLarge,
        Code::BodyNotJson,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::WechatUnreachable,
        Code::WechatTimedOut,
        Code::WechatStatus,
        Code::WechatBody,
        Code::WechatRefused,
        Code::MediaNotFound,
        Code::MediaRejected,
        Code::ImageStoreFailed,
        Code::ImageStoreTimedOut,
        Code::CredentialUnavailable,
        Code::Overloaded,
        Code::RequestTimeout,
        Code::Internal,
    ];

    #[expect(clippy::too_many_lines, reason = "a table reads best in one piece")]
    fn row(self) -> Row {
        use StatusCode as S;
        let (status, number, name, when) = match self {
            Self::ParamInvalid => (
                S::BAD_REQUEST,
                1001,
                "PARAM_INVALID",
                "a parameter or the body is missing or malformed",
            ),
            Self::PreconditionFailed => (
                S::PRECONDITION_FAILED,
                1001,
                "PARAM_INVALID",
                "a picture is not as If-Match or If-Unmodified-Since want it",
            ),
            Self::RangeNotSatisfiable => (
                S::RANGE_NOT_SATISFIABLE,
                1001,
                "PARAM_INVALID",
                "a picture ends before the Range begins",
            ),
            Self::UrlInvalid => (
                S::BAD_REQUEST,
                1002,
                "URL_INVALID",
                "the page URL can't be signed as sent",
            ),
            Self::DomainNotAllowed => (
                S::FORBIDDEN,
                1003,
                "DOMAIN_NOT_ALLOWED",
                "the page is not under the account's js_domains",
            ),
            Self::AccountUnknown => (S::NOT_FOUND, 1004, "ACCOUNT_UNKNOWN", "no such appId here"),
            Self::Unauthorized => (
                S::UNAUTHORIZED,
                1005,
                "UNAUTHORIZED",
                "no or wrong key or token on upload",
            ),
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                1006,
                "RATE_LIMITED",
                "too many requests from this address; see Retry-After",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                1007,
                "BODY_TOO_LARGE",
                "the request body is over 16 KiB",
            ),
            Self::BodyNotJson => (
                S::UNSUPPORTED_MEDIA_TYPE,
                1008,
                "BODY_NOT_JSON",
                "the Content-Type is not application/json",
            ),
            Self::NotFound => (S::NOT_FOUND, 1009, "NOT_FOUND", "no such path"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                1010,
                "METHOD_NOT_ALLOWED",
                "the path exists, but not with this method",
            ),
            Self::WechatUnreachable => (
                S::BAD_GATEWAY,
                2001,
                "WECHAT_RESPONSE_NULL_ERROR",
                "WeChat could not be reached or broke off",
            ),
            Self::WechatTimedOut => (
                S::GATEWAY_TIMEOUT,
                2001,
                "WECHAT_RESPONSE_NULL_ERROR",
                "WeChat did not answer in time",
            ),
            Self::WechatStatus => (
                S::BAD_GATEWAY,
                2002,
                "WECHAT_RESPONSE_STATUS_ERROR",
                "WeChat answered with a status other than 200",
            ),
            Self::WechatBody => (
                S::BAD_GATEWAY,
                2003,
                "WECHAT_RESPONSE_BODY_NULL_ERROR",
                "WeChat's body is empty, cut off or not what the API promises",
            ),
            Self::WechatRefused => (
                S::BAD_GATEWAY,
                2004,
                "WECHAT_RESPONSE_FAIL_ERROR",
                "WeChat refused, with an errcode",
            ),
            Self::MediaNotFound => (
                S::NOT_FOUND,
                2005,
                "MEDIA_NOT_FOUND",
                "WeChat says the mediaId is wrong or has expired",
            ),
            Self::MediaRejected => (
                S::UNPROCESSABLE_ENTITY,
                2006,
                "MEDIA_REJECTED",
                "not an allowed picture, or over media.max_bytes",
            ),
            Self::ImageStoreFailed => (
                S::BAD_GATEWAY,
                3001,
                "FILE_UPLOAD_ERROR",
                "the image store failed or refused",
            ),
            Self::ImageStoreTimedOut => (
                S::GATEWAY_TIMEOUT,
                3001,
                "FILE_UPLOAD_ERROR",
                "the image store did not answer in time",
            ),
            Self::CredentialUnavailable => (
                S::SERVICE_UNAVAILABLE,
                4001,
                "CREDENTIAL_UNAVAILABLE",
                "no usable credential now; see Retry-After",
            ),
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                4002,
                "OVERLOADED",
                "media.max_concurrent uploads are under way; see Retry-After",
            ),
            Self::RequestTimeout => (
                S::GATEWAY_TIMEOUT,
                4003,
                "REQUEST_TIMEOUT",
                "the request took longer than server.request_timeout",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                5000,
                "INTERNAL_ERROR",
                "a bug; details are in the log under the traceId",
            ),
        };
        Row {
            status,
            number,
            name,
            when,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// The stable number, `code` in the envelope.
    #[must_use]
    pub fn number(self) -> u16 {
        self.row().number
    }

    /// The stable name, `error` in the envelope.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// When it is answered, for people.
    #[must_use]
    pub fn when(self) -> &'static str {
        self.row().when
    }
}
