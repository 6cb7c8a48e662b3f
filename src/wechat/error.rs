//! How a call to WeChat fails.

use reqwest::StatusCode;

use super::ErrCode;
use crate::wire::BodyError;

/// How a call to WeChat failed. None of the texts holds a URL, for its query may hold a token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// No connection to any of WeChat's hosts could be made; WeChat never saw the request.
    #[error("no connection to WeChat: {0}")]
    Unreachable(String),
    /// WeChat did not answer in time; it may have carried the request out.
    #[error("WeChat did not answer in time")]
    TimedOut,
    /// The connection broke before the answer was complete; WeChat may have carried the request out.
    #[error("the connection to WeChat broke: {0}")]
    Interrupted(String),
    /// WeChat answered with a status other than 200.
    #[error("WeChat answered with HTTP status {0}")]
    Status(StatusCode),
    /// The body is not what the API promises.
    #[error("WeChat's answer is unusable: {0}")]
    Body(BodyProblem),
    /// WeChat refused, with an `errcode` other than 0.
    #[error("WeChat refused: {code} {message}")]
    Refused {
        /// What it refused with.
        code: ErrCode,
        /// WeChat's `errmsg`, for the log only: shortened, control characters removed.
        message: String,
    },
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::CutOff => Self::Body(BodyProblem::CutOff),
            BodyError::Stalled => Self::TimedOut,
        }
    }
}

impl CallError {
    /// The `errcode`, where WeChat gave one.
    #[must_use]
    pub fn errcode(&self) -> Option<ErrCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyProblem {
    /// There is none.
    #[error("empty body")]
    Empty,
    /// It ended before its Content-Length, or was not JSON to its end.
    #[error("body cut off")]
    CutOff,
    /// It is longer than any answer of this API.
    #[error("body too long")]
    TooLong,
    /// It lacks what the API promises, or is something else altogether.
    #[error("not what the API promises")]
    Unexpected,
    /// It is a link to a video, where a picture was asked for.
    #[error("a video, not a picture")]
    Video,
}
