//! The pass-through: all other paths of WeChat's API, as the caller sent the request and as WeChat answers.
//!
//! Changes to the call: private headers are removed; a call without a token gets one if a client's secret authenticates
//! it; a client's own secret becomes the AppSecret; a chunked body gets a length; a token of ours that is no longer
//! current is replaced; so is a current one that WeChat rejects, and the call is repeated.

mod answered;
mod body;
mod call;
mod headers;
mod secrets;
mod sign_in;
mod target;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;

use super::answer::Refusal;
use super::parameters;
use super::state::Internal;
use crate::wechat::CallBody;
use call::ProxiedCall;

pub(super) use target::refuse_other_targets;

impl Internal {
    /// Passes a request through.
    pub(super) async fn pass(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let mut call = match self.prepare(&parts).await {
            Ok(call) => call,
            Err(refusal) => {
                body::drain(body.into_data_stream(), self.wechat.stall_limit()).await;
                return Err(refusal);
            }
        };
        let mut received = self.receive(&parts.headers, body).await?;
        self.exchange_secrets(&mut call, &mut received.body)?;
        if let CallBody::Whole(body) = &mut received.body {
            call.replace_token_in_form(body).await?;
        }
        Ok(call.run(received).await?)
    }

    /// Everything that can be decided, and done about the token, before the body is read.
    async fn prepare(&self, parts: &Parts) -> Result<ProxiedCall<'_>, Refusal> {
        let path = self.path_of(parts)?;
        let mut call = ProxiedCall::new(self, parts, path);
        self.sign_in(&mut call, &parts.headers).await?;
        call.replace_token_in_query().await?;
        Ok(call)
    }
}
