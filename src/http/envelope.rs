//! The envelope of every failure and of every answer of the business routes, and the mapping of the other modules' errors
//! to rows of the code table.

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use validator::ValidationErrors;

use super::code::Code;
use super::request_id::RequestId;
use crate::credentials::{TokenCallError, Unavailable};
use crate::image_store::StoreFailure;
use crate::upload::UploadError;
use crate::wechat::{BodyProblem, CallError, ErrCode, Meaning};

/// The content type of every envelope.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// A successful answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<'a, T> {
    /// Always 0.
    #[schema(example = 0)]
    pub code: u16,
    /// Always `ok`.
    #[schema(example = "ok")]
    pub message: &'static str,
    /// The result.
    pub data: T,
    /// The request's id, as in the header `X-Request-Id`.
    #[serde(rename = "traceId")]
    #[schema(example = "0a1b2c3d4e5f60718293a4b5c6d7e8f9")]
    pub trace_id: &'a str,
}

impl<T: Serialize> Envelope<'_, T> {
    /// `data` as the successful answer to the request `id`.
    pub fn ok(data: T, id: &RequestId) -> Response<Body> {
        let envelope = Envelope {
            code: 0,
            message: "ok",
            data,
            trace_id: id.as_str(),
        };
        no_store(StatusCode::OK, &envelope)
    }
}

/// A failed answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure<'a> {
    /// The failure's stable number.
    #[schema(example = 1001)]
    pub code: u16,
    /// The failure's stable name.
    #[schema(example = "PARAM_INVALID")]
    pub error: &'static str,
    /// What went wrong, for people.
    pub message: &'a str,
    /// WeChat's own code, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 40164)]
    pub errcode: Option<i64>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    pub data: Option<()>,
    /// The request's id, as in the header `X-Request-Id`.
    #[serde(rename = "traceId")]
    #[schema(example = "0a1b2c3d4e5f60718293a4b5c6d7e8f9")]
    pub trace_id: &'a str,
}

/// A failure before it has a body. A layer, which knows the request's id, adds the body.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    pub errcode: Option<ErrCode>,
    pub retry_after: Option<Duration>,
    /// Logged, but not sent to the caller.
    pub detail: Option<String>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            errcode: None,
            retry_after: None,
            detail: None,
        }
    }

    /// A failure with the table's message.
    pub fn plain(code: Code) -> Self {
        Self::new(code, code.when())
    }

    pub fn with_detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub fn envelope(&self, id: &RequestId) -> Response<Body> {
        let failure = Failure {
            code: self.code.number(),
            error: self.code.name(),
            message: &self.message,
            errcode: self.errcode.map(|code| code.0),
            data: None,
            trace_id: id.as_str(),
        };
        // Required by RFC 9110, section 15.5.2.
        let challenge = (self.code == Code::Unauthorized).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
        let envelope = no_store(self.code.status(), &failure);
        (challenge, retry_after(self.retry_after), envelope).into_response()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> Self {
        Self {
            errcode: unavailable.errcode,
            retry_after: Some(unavailable.retry_after),
            ..Self::plain(Code::CredentialUnavailable).with_detail(unavailable.reason)
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::WeChat(error) => error.into(),
            UploadError::Rejected(rejection) => Self::new(Code::MediaRejected, rejection.to_string()),
            UploadError::Store(StoreFailure::TimedOut) | UploadError::TimedOut => {
                Self::plain(Code::ImageStoreTimedOut).with_detail(error)
            }
            UploadError::Store(_) => Self::plain(Code::ImageStoreFailed).with_detail(error),
            UploadError::Overloaded { retry_after } => Self::plain(Code::Overloaded).with_retry_after(retry_after),
            UploadError::Lost => Self::plain(Code::Internal).with_detail(error),
        }
    }
}

impl From<TokenCallError> for ApiError {
    fn from(error: TokenCallError) -> Self {
        match error {
            TokenCallError::Unavailable(unavailable) => unavailable.into(),
            TokenCallError::Call(error) => error.into(),
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Unreachable(_) | CallError::Interrupted(_) => Code::WechatUnreachable,
            CallError::TimedOut => Code::WechatTimedOut,
            CallError::Status(_) => Code::WechatStatus,
            CallError::Body(BodyProblem::Video) => Code::MediaRejected,
            CallError::Body(_) => Code::WechatBody,
            CallError::Refused { code, .. } if code.meaning() == Meaning::MediaUnknown => Code::MediaNotFound,
            CallError::Refused { .. } => Code::WechatRefused,
        };
        Self {
            errcode: error.errcode(),
            retry_after: error.retry_after(),
            ..Self::plain(code).with_detail(error)
        }
    }
}

/// The first problem with what the caller sent.
impl From<ValidationErrors> for ApiError {
    fn from(errors: ValidationErrors) -> Self {
        let mut errors = errors.field_errors().into_values().flatten();
        let message = errors.find_map(|error| error.message.clone());
        Self::new(Code::ParamInvalid, message.unwrap_or(Code::ParamInvalid.when().into()))
    }
}

/// `wait` in whole seconds, rounded up, so that a caller that obeys does not retry too early.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The header that says when to retry.
pub(super) fn retry_after(wait: Option<Duration>) -> Option<[(HeaderName, HeaderValue); 1]> {
    wait.map(|wait| [(header::RETRY_AFTER, whole_seconds(wait).into())])
}

/// `body` as JSON that must not be cached.
pub(super) fn no_store(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Strings, numbers and structs of them can't fail to serialise.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
