//! What an operator may do: renew a credential now.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::Internal;
use crate::credentials::Kind;
use crate::http::envelope::{no_store, retry_after, whole_seconds};
use crate::http::middleware::{ClientName, FailureReason};
use crate::http::public::bearer;
use crate::secret::Secret;

/// `POST /credentials/{app_id}/access_token/renew`
pub(super) async fn renew_token(
    State(internal): State<Arc<Internal>>,
    Path(app_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    internal.renew(&app_id, Kind::AccessToken, &headers).await
}

/// `POST /credentials/{app_id}/jsapi_ticket/renew`
pub(super) async fn renew_ticket(
    State(internal): State<Arc<Internal>>,
    Path(app_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    internal.renew(&app_id, Kind::JsapiTicket, &headers).await
}

/// Anything else below `/credentials`. It must not be passed through to WeChat, for it may carry the operator's key.
pub(super) async fn no_such_action() -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "there are POST /credentials/{app_id}/access_token/renew and …/jsapi_ticket/renew",
    )
}

/// A wrong method on the operator's routes.
pub(super) async fn requires_post() -> Response {
    failure(StatusCode::METHOD_NOT_ALLOWED, "send it with POST")
}

fn failure(status: StatusCode, message: &str) -> Response {
    no_store(status, &json!({ "message": message }))
}

impl Internal {
    async fn renew(&self, app_id: &str, kind: Kind, headers: &HeaderMap) -> Response {
        if let Some((reason, refusal)) = self.refusal_without_key(headers) {
            self.counted.refused(reason);
            return (axum::Extension(FailureReason(reason.to_owned())), refusal).into_response();
        }
        let answer = self.renew_as_operator(app_id, kind).await;
        (axum::Extension(ClientName("operator".to_owned())), answer).into_response()
    }

    /// The reason and the response if the request does not have the operator's key.
    fn refusal_without_key(&self, headers: &HeaderMap) -> Option<(&'static str, Response)> {
        let settings = self.api.settings.load();
        let operator_key = &settings.internal.operator_key;
        if operator_key.is_blank() {
            let message = "the operator's actions are closed: set internal.operator_key to open them";
            return Some(("operator_closed", failure(StatusCode::FORBIDDEN, message)));
        }
        let sent = bearer(headers).map(Secret::new);
        if sent.is_some_and(|sent| sent == *operator_key) {
            return None;
        }
        let message = "send internal.operator_key in the header Authorization: Bearer <key>";
        let mut refusal = failure(StatusCode::UNAUTHORIZED, message);
        refusal
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Some(("operator_key", refusal))
    }

    async fn renew_as_operator(&self, app_id: &str, kind: Kind) -> Response {
        let Some(account) = self.api.directory.find(Some(app_id)) else {
            return failure(StatusCode::NOT_FOUND, "this gateway serves no account with this AppID");
        };
        if !account.credentials.kinds().contains(&kind) {
            return failure(
                StatusCode::NOT_FOUND,
                "this account keeps no ticket: its jsapi is false in the settings",
            );
        }
        let before = account.credentials.status(kind).credential;
        match account.credentials.renew_now(kind).await {
            Ok(now) => {
                let changed = before.is_none_or(|before| before.value != now.value);
                let body = json!({
                    "app_id": app_id,
                    "kind": kind.label(),
                    "fingerprint": now.fingerprint,
                    "expires_in": now.remaining().as_secs(),
                    "changed": changed,
                });
                no_store(StatusCode::OK, &body)
            }
            Err(unavailable) => {
                let wait = unavailable.retry_after;
                let body = json!({
                    "message": unavailable.reason,
                    "errcode": unavailable.errcode.map(|code| code.0),
                    "retry_after": whole_seconds(wait),
                });
                (
                    retry_after(Some(wait)),
                    no_store(StatusCode::SERVICE_UNAVAILABLE, &body),
                )
                    .into_response()
            }
        }
    }
}
