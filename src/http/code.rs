//! The code table: every way in which a request can fail, with HTTP status, number and name. The documentation of
//! failures is generated from it too.

use http::StatusCode;

/// Generates [`Code`] from the table: each row is a variant with its HTTP status, number, name, and when it is returned.
macro_rules! code_table {
    ($($code:ident = ($status:ident, $number:literal, $name:literal, $when:literal),)+) => {
        /// A way in which a request fails.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "`Code::when` describes each")]
        pub enum Code {
            $($code,)+
        }

        impl Code {
            /// Every code, in the table's order.
            pub const ALL: [Code; [$($number),+].len()] = [$(Code::$code),+];

            fn row(self) -> (StatusCode, u16, &'static str, &'static str) {
                match self {
                    $(Self::$code => (StatusCode::$status, $number, $name, $when),)+
                }
            }
        }
    };
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The stable number, `code` in the envelope.
    pub fn number(self) -> u16 {
        self.row().1
    }

    /// The stable name, `error` in the envelope.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// When it is answered, for people.
    pub fn when(self) -> &'static str {
        self.row().3
    }
}

code_table! {
    ParamInvalid = (BAD_REQUEST, 1001, "PARAM_INVALID", "a parameter or the body is missing or malformed"),
    PreconditionFailed = (PRECONDITION_FAILED, 1001, "PARAM_INVALID", "the picture is not the one that If-Match names"),
    RangeNotSatisfiable = (RANGE_NOT_SATISFIABLE, 1001, "PARAM_INVALID", "the picture ends before the Range begins"),
    UrlInvalid = (BAD_REQUEST, 1002, "URL_INVALID", "the page URL can't be signed as sent"),
    DomainNotAllowed = (FORBIDDEN, 1003, "DOMAIN_NOT_ALLOWED", "the page is not under the account's js_domains"),
    AccountUnknown = (NOT_FOUND, 1004, "ACCOUNT_UNKNOWN", "no such appId here"),
    Unauthorized = (UNAUTHORIZED, 1005, "UNAUTHORIZED", "no or wrong key or token on upload"),
    RateLimited = (TOO_MANY_REQUESTS, 1006, "RATE_LIMITED", "too many requests from this address; see Retry-After"),
    BodyTooLarge = (PAYLOAD_TOO_LARGE, 1007, "BODY_TOO_LARGE", "the request body is over 16 KiB"),
    BodyNotJson = (UNSUPPORTED_MEDIA_TYPE, 1008, "BODY_NOT_JSON", "the Content-Type is not application/json"),
    NotFound = (NOT_FOUND, 1009, "NOT_FOUND", "no such path"),
    MethodNotAllowed = (METHOD_NOT_ALLOWED, 1010, "METHOD_NOT_ALLOWED", "the path exists, but not with this method"),
    WechatUnreachable = (BAD_GATEWAY, 2001, "WECHAT_RESPONSE_NULL_ERROR", "WeChat could not be reached or disconnected early"),
    WechatTimedOut = (GATEWAY_TIMEOUT, 2001, "WECHAT_RESPONSE_NULL_ERROR", "WeChat did not answer in time"),
    WechatStatus = (BAD_GATEWAY, 2002, "WECHAT_RESPONSE_STATUS_ERROR", "WeChat answered with a status other than 200"),
    WechatBody = (BAD_GATEWAY, 2003, "WECHAT_RESPONSE_BODY_NULL_ERROR", "WeChat's body is empty, cut off or not what the API promises"),
    WechatRefused = (BAD_GATEWAY, 2004, "WECHAT_RESPONSE_FAIL_ERROR", "WeChat refused, with an errcode"),
    MediaNotFound = (NOT_FOUND, 2005, "MEDIA_NOT_FOUND", "WeChat says the mediaId is wrong or has expired"),
    MediaRejected = (UNPROCESSABLE_ENTITY, 2006, "MEDIA_REJECTED", "not an allowed picture, or over media.max_bytes"),
    ImageStoreFailed = (BAD_GATEWAY, 3001, "FILE_UPLOAD_ERROR", "the image store failed or refused"),
    ImageStoreTimedOut = (GATEWAY_TIMEOUT, 3001, "FILE_UPLOAD_ERROR", "the image store did not answer in time"),
    CredentialUnavailable = (SERVICE_UNAVAILABLE, 4001, "CREDENTIAL_UNAVAILABLE", "no usable credential now; see Retry-After"),
    Overloaded = (SERVICE_UNAVAILABLE, 4002, "OVERLOADED", "media.max_concurrent uploads are in progress; see Retry-After"),
    RequestTimeout = (GATEWAY_TIMEOUT, 4003, "REQUEST_TIMEOUT", "the request took longer than server.request_timeout"),
    Internal = (INTERNAL_SERVER_ERROR, 5000, "INTERNAL_ERROR", "a bug; details are in the log under the traceId"),
}
