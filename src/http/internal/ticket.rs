//! `/cgi-bin/ticket/getticket`: the shared ticket, as WeChat would answer it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::answer::Refusal;
use super::parameters;
use super::state::Internal;
use crate::directory::Account;
use crate::http::envelope::no_store;
use crate::secret::Secret;

/// `GET /cgi-bin/ticket/getticket`, or `POST` with the parameters in the query or in a form. The gateway answers for
/// tokens that it handed out, about tickets that it keeps; WeChat answers for any other.
pub(super) async fn get_ticket(State(internal): State<Arc<Internal>>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = parameters::read(body).await?;
    let form = String::from_utf8_lossy(&body);
    let param = |name| parameters::param(&parts.uri, &form, name);
    let (kind, token) = (param("type"), Secret::new(param("access_token")));
    if matches!(kind.as_str(), "jsapi" | "wx_card") {
        let account = if token.is_blank() {
            let signed_in = internal.signed_in(&parts.headers)?;
            let (account, _) = signed_in.ok_or_else(|| Refusal::new(41001, "access_token missing"))?;
            Some(account)
        } else {
            internal.owner_of(&token).await.map(|(account, _)| account)
        };
        match account {
            Some(account) => {
                if let Some(ticket) = internal.ticket_of(account, &kind).await {
                    return ticket;
                }
            }
            // WeChat can't be asked about the token.
            None if !internal.public.settings.load().internal.proxy => {
                let errmsg = "invalid credential, access_token is not one that this gateway handed out";
                return Err(internal.refuse("wrong_token", 40001, errmsg));
            }
            None => {}
        }
    }
    internal.pass(Request::from_parts(parts, body.into())).await
}

impl Internal {
    /// The account's ticket of this type; `None` if the account keeps none.
    async fn ticket_of(&self, account: &Account, kind: &str) -> Option<Result<Response, Refusal>> {
        let ticket = match kind {
            "jsapi" => account.credentials.ticket().await?,
            _ => account.credentials.card_ticket().await,
        };
        Some(match ticket {
            Ok(ticket) => {
                // Some caches treat 0 as "never expires".
                let least = self.clients.min_ticket_lifetime(account.app_id()).as_secs().max(1);
                let body = json!({
                    "errcode": 0,
                    "errmsg": "ok",
                    "ticket": ticket.value.expose(),
                    "expires_in": ticket.remaining().as_secs().max(least),
                });
                Ok(no_store(StatusCode::OK, &body))
            }
            Err(unavailable) => Err(self.unavailable(&unavailable)),
        })
    }
}
