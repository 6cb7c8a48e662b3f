//! `/cgi-bin/ticket/getticket`: the shared ticket, as WeChat would answer it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::Refusal;
use super::pass_through;
use super::state::Internal;
use super::token::param;
use crate::credentials::Ours;
use crate::directory::Account;
use crate::http::ClientAddress;
use crate::http::envelope::no_store;
use crate::http::middleware::FailureReason;
use crate::secret::Secret;

/// `GET /cgi-bin/ticket/getticket`. The gateway has only the ticket for pages; WeChat answers for any
/// other type.
pub(super) async fn get_ticket(
    State(internal): State<Arc<Internal>>,
    ClientAddress(caller): ClientAddress,
    request: Request,
) -> Response {
    if param(request.uri(), "type") != "jsapi" {
        return pass_through::pass_through(State(internal), request).await;
    }
    let token = Secret::new(param(request.uri(), "access_token"));
    if token.is_blank() {
        return match internal.signed_in(request.headers(), caller) {
            Ok(Some((account, _))) => internal.ticket_of(account).await,
            Ok(None) => Refusal::new(41001, "access_token missing").into_response(),
            Err(refusal) => refusal.into_response(),
        };
    }
    drop(request);
    let Some(account) = internal.account_of(&token).await else {
        internal.counted.refused("wrong_token");
        let reason = FailureReason("wrong_token: 40001".to_owned());
        let refusal = Refusal::new(
            40001,
            "invalid credential, access_token is not one that this gateway handed out",
        );
        return (axum::Extension(reason), refusal).into_response();
    };
    internal.ticket_of(account).await
}

impl Internal {
    async fn ticket_of(&self, account: &Account) -> Response {
        match account.credentials.ticket().await {
            Ok(ticket) => {
                let body = json!({
                    "errcode": 0,
                    "errmsg": "ok",
                    "ticket": ticket.value.expose(),
                    // Some caches treat 0 as "never expires".
                    "expires_in": ticket.remaining().as_secs().max(1),
                });
                no_store(StatusCode::OK, &body)
            }
            Err(unavailable) => self.unavailable(&unavailable),
        }
    }

    /// The account that `token` belongs to, if any replica handed it out and it has not expired.
    async fn account_of(&self, token: &Secret) -> Option<&Account> {
        for account in self.api.directory.all() {
            match account.credentials.recognise(token).await {
                Some(Ours::Current(_) | Ours::Older) => return Some(account),
                Some(Ours::Ended) => return None,
                None => {}
            }
        }
        None
    }
}
