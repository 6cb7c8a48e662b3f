//! What the form about `invalid signature` asks, and what is found out.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::jssdk::explain::{Claim, ClaimProblem, Comparison, Verdict};

/// The submitted form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExplainRequest {
    pub(super) url: String,
    pub(super) request: String,
    pub(super) nonce: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) app_id: String,
}

/// A result shown above the form.
pub(super) enum Finding {
    /// The form could not be parsed.
    Unreadable,
    /// Too many are being looked into.
    Busy,
    /// A field is invalid.
    Problem(ClaimProblem),
    /// There is no current ticket to compare with.
    NoTicket,
    /// The signing call was compared with the page.
    Compared(Comparison),
    /// The signature was looked into.
    Verdict(Claim, Verdict),
}

impl Finding {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable | Self::Problem(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::NoTicket => StatusCode::SERVICE_UNAVAILABLE,
            Self::Compared(_) | Self::Verdict(..) => StatusCode::OK,
        }
    }
}

impl ExplainRequest {
    /// Whether to look into a signature. A signing call without one is enough.
    pub(super) fn has_claim(&self) -> bool {
        let claim = [&self.nonce, &self.timestamp, &self.signature];
        self.request.trim().is_empty() || claim.iter().any(|value| !value.trim().is_empty())
    }
}
