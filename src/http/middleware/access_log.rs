//! The access log.

use std::net::IpAddr;
use std::time::Duration;

use axum::response::Response;
use http::Method;
use tracing::Level;

use crate::http::{ApiError, Code, RequestId};
use crate::telemetry::millis;

/// A request that takes longer is worth a line in the log even if it succeeds.
const SLOW: Duration = Duration::from_secs(1);

/// Which listener a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// For pages.
    Public,
    /// For the company's other services and operators.
    Internal,
}

/// Who asked; handlers of the internal listener put it into the answer's extensions.
#[derive(Clone)]
pub struct ClientName(pub String);

/// Why a request failed; as [`ClientName`].
#[derive(Clone)]
pub struct FailureReason(pub String);

/// A request that was answered.
pub(super) struct Line<'a> {
    pub(super) listener: Listener,
    pub(super) id: RequestId,
    pub(super) route: &'a str,
    pub(super) method: &'a Method,
    pub(super) client: IpAddr,
    pub(super) took: Duration,
}

impl Line<'_> {
    /// Writes the line, if its level is on. The span that ties it to the request is only made then.
    pub(super) fn write(&self, response: &Response) {
        let extensions = response.extensions();
        let (failure, client_name) = (extensions.get::<ApiError>(), extensions.get::<ClientName>());
        let reason = extensions.get::<FailureReason>();
        let failed = match self.listener {
            Listener::Public => failure.is_some(),
            // It must be known afterwards who was given a token.
            Listener::Internal => client_name.is_some() || reason.is_some() || response.status().as_u16() >= 400,
        };
        let is_news = failed || self.took >= SLOW;
        if !is_news && !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let _entered = tracing::info_span!("request", id = %self.id).entered();
        if let Some(failure) = failure {
            self.write_failure(failure, response);
        } else if self.listener == Listener::Internal {
            self.write_internal(is_news, client_name, reason, response);
        } else {
            self.write_success(response);
        }
    }

    fn write_failure(&self, failure: &ApiError, response: &Response) {
        let Self {
            route, method, client, ..
        } = self;
        let (status, ms) = (response.status().as_u16(), millis(self.took));
        let (code, name, message) = (failure.code.number(), failure.code.name(), failure.message.as_str());
        let detail = failure.detail.as_deref();
        if failure.code == Code::Internal {
            tracing::error!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
        } else {
            tracing::info!(route, %method, status, code, %client, ms, detail, "{name}: {message}");
        }
    }

    fn write_internal(
        &self,
        is_news: bool,
        client_name: Option<&ClientName>,
        reason: Option<&FailureReason>,
        response: &Response,
    ) {
        let Self {
            route,
            method,
            client: address,
            ..
        } = self;
        let (status, ms) = (response.status().as_u16(), millis(self.took));
        let client = client_name.map(|ClientName(name)| name.as_str());
        let reason = reason.map(|FailureReason(why)| why.as_str());
        if is_news {
            tracing::info!(route, %method, status, ms, %address, client, reason, "internal");
        } else {
            tracing::debug!(route, %method, status, ms, %address, "internal");
        }
    }

    fn write_success(&self, response: &Response) {
        let Self {
            route, method, client, ..
        } = self;
        let (status, ms) = (response.status().as_u16(), millis(self.took));
        if self.took >= SLOW {
            tracing::info!(route, %method, status, %client, ms, "slow");
        } else {
            tracing::debug!(route, %method, status, %client, ms, "done");
        }
    }
}
