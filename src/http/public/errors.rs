//! The errors of the other modules as rows of the code table.

use validator::ValidationErrors;

use crate::credentials::{TokenCallError, Unavailable};
use crate::http::{ApiError, Code};
use crate::image_store::StoreFailure;
use crate::upload::UploadError;
use crate::wechat::{BodyProblem, CallError, Meaning};

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> Self {
        Self::plain(Code::CredentialUnavailable)
            .with_errcode(unavailable.errcode)
            .with_retry_after(unavailable.retry_after)
            .with_detail(unavailable.reason)
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
        let failure = Self::plain(code).with_errcode(error.errcode());
        let failure = match error.retry_after() {
            Some(wait) => failure.with_retry_after(wait),
            None => failure,
        };
        failure.with_detail(error)
    }
}

/// The first thing that is wrong with what the caller sent.
impl From<ValidationErrors> for ApiError {
    fn from(errors: ValidationErrors) -> Self {
        let fields = errors.field_errors();
        let message = fields
            .values()
            .flat_map(|errors| errors.iter())
            .find_map(|error| error.message.clone());
        Self::new(
            Code::ParamInvalid,
            message.unwrap_or_else(|| Code::ParamInvalid.when().into()),
        )
    }
}
