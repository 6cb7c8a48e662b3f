//! Responses in WeChat's own format: HTTP 200 and JSON, errors included.

use std::time::Duration;

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::Internal;
use crate::credentials::Unavailable;
use crate::http::envelope::{no_store, retry_after};
use crate::http::middleware::FailureReason;
use crate::http::{ApiError, Code, RequestId};
use crate::wechat::CallError;

/// An error in WeChat's format.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    errcode: i64,
    errmsg: String,
    retry_after: Option<Duration>,
    /// Only for the log.
    reason: Option<String>,
}

impl Refusal {
    /// WeChat's `errcode` with a message of ours: WeChat's own would send the reader to WeChat's console.
    pub(super) fn new(errcode: i64, errmsg: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            errcode,
            errmsg: errmsg.into(),
            retry_after: None,
            reason: None,
        }
    }

    /// An error for a path that the gateway does not pass through.
    pub(super) fn not_passed(errmsg: impl Into<String>) -> Self {
        Self::new(40066, errmsg).with_status(StatusCode::NOT_FOUND)
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the reason for the access log.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl Internal {
    /// A refusal that is counted, with its reason for the access log.
    pub(super) fn refuse(&self, reason: &str, errcode: i64, errmsg: impl Into<String>) -> Refusal {
        self.refusals.with_label_values(&[reason]).inc();
        Refusal::new(errcode, errmsg).because(format!("{reason}: {errcode}"))
    }

    /// Counts and answers that no credential is available: to an SDK, WeChat is busy. The reason may contain WeChat's
    /// `errmsg`, which belongs only in the log.
    pub(super) fn unavailable(&self, unavailable: &Unavailable) -> Refusal {
        self.refusals.with_label_values(&["unavailable"]).inc();
        let errmsg = match unavailable.errcode {
            Some(code) => format!("no credential is available now: WeChat refuses with {code}; see the gateway's log"),
            None => "no credential is available now; see the gateway's log".to_owned(),
        };
        Refusal::new(-1, errmsg)
            .with_retry_after(unavailable.retry_after)
            .because(unavailable.reason.as_str())
    }
}

/// The response to a failure outside the handlers: a panic, or a time limit.
pub(super) fn failure(error: &ApiError, _: &RequestId) -> Response {
    let (errcode, words) = match error.code {
        Code::Internal => (-1, "a bug in the gateway; see its log"),
        // -1 would make an SDK retry.
        code @ Code::MethodNotAllowed => (40066, code.when()),
        code => (-1, code.when()),
    };
    Refusal::new(errcode, words)
        .with_status(error.code.status())
        .into_response()
}

/// WeChat could not be reached, or did not answer.
impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let status = match error {
            // WeChat may have executed the call, and many clients repeat even a POST after 502.
            CallError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(-1, format!("wxgate: {error}"))
            .with_status(status)
            .because(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "errcode": self.errcode, "errmsg": self.errmsg });
        let reason = self.reason.map(|reason| Extension(FailureReason(reason)));
        (reason, retry_after(self.retry_after), no_store(self.status, &body)).into_response()
    }
}
