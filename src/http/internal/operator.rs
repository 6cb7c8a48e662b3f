//! An operator's actions: renew a credential now.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::json;

use super::state::Internal;
use crate::credentials::Kind;
use crate::http::envelope::{no_store, retry_after, whole_seconds};
use crate::http::middleware::{ClientName, FailureReason};
use crate::http::public::bearer;
use crate::secret::Secret;

/// Everything below `/credentials`, known or not: it must not be passed through to WeChat, because it may carry the
/// operator's key.
pub(super) fn actions() -> Router<Arc<Internal>> {
    let none = "the actions are POST /credentials/{app_id}/access_token/renew and …/jsapi_ticket/renew";
    let actions = Router::new()
        .route("/{app_id}/access_token/renew", renew(Kind::AccessToken))
        .route("/{app_id}/jsapi_ticket/renew", renew(Kind::JsapiTicket))
        .method_not_allowed_fallback(async || failure(StatusCode::METHOD_NOT_ALLOWED, "send it with POST"))
        .fallback(async || failure(StatusCode::NOT_FOUND, none));
    Router::new().nest("/credentials", actions)
}

fn renew(kind: Kind) -> MethodRouter<Arc<Internal>> {
    post(
        async move |State(internal): State<Arc<Internal>>, Path(app_id): Path<String>, headers: HeaderMap| {
            internal.renew(&app_id, kind, &headers).await
        },
    )
}

fn failure(status: StatusCode, message: &str) -> Response {
    no_store(status, &json!({ "message": message }))
}

impl Internal {
    async fn renew(&self, app_id: &str, kind: Kind, headers: &HeaderMap) -> Response {
        if let Some((reason, refusal)) = self.refusal_without_key(headers) {
            self.refusals.with_label_values(&[reason]).inc();
            return (axum::Extension(FailureReason(reason.to_owned())), refusal).into_response();
        }
        let answer = self.renew_as_operator(app_id, kind).await;
        (axum::Extension(ClientName("operator".to_owned())), answer).into_response()
    }

    /// The reason and the response if the request lacks the operator's key.
    fn refusal_without_key(&self, headers: &HeaderMap) -> Option<(&'static str, Response)> {
        let settings = self.public.settings.load();
        let operator_key = &settings.internal.operator_key;
        if operator_key.is_blank() {
            let message = "the operator's actions are disabled: set internal.operator_key to enable them";
            return Some(("operator_closed", failure(StatusCode::FORBIDDEN, message)));
        }
        let sent = bearer(headers).map(Secret::new);
        if sent.is_some_and(|sent| sent == *operator_key) {
            return None;
        }
        let message = "send internal.operator_key in the header Authorization: Bearer <key>";
        let refusal = failure(StatusCode::UNAUTHORIZED, message);
        let refusal = ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
        Some(("operator_key", refusal))
    }

    async fn renew_as_operator(&self, app_id: &str, kind: Kind) -> Response {
        let Some(account) = self.public.directory.find(Some(app_id)) else {
            return failure(StatusCode::NOT_FOUND, "this gateway serves no account with this AppID");
        };
        if !account.credentials.kinds().contains(&kind) {
            let message = "this account has no ticket: its jsapi is false in the settings";
            return failure(StatusCode::NOT_FOUND, message);
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
                let answer = no_store(StatusCode::SERVICE_UNAVAILABLE, &body);
                (retry_after(Some(wait)), answer).into_response()
            }
        }
    }
}
