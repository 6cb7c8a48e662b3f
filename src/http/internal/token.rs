//! `/cgi-bin/token` and `/cgi-bin/stable_token`: the shared token, as WeChat would answer it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::clients::{AuthError, TokenClient};
use super::parameters;
use super::state::Internal;
use crate::byte_order_mark::without_mark;
use crate::credentials::Unavailable;
use crate::directory::Account;
use crate::http::ClientAddress;
use crate::http::envelope::no_store;
use crate::http::middleware::ClientName;
use crate::secret::Secret;
use crate::store::keys::TOKEN_ASKED_TTL;

/// The parameters of a token call. Missing ones are empty, as WeChat treats them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenCall {
    grant_type: String,
    appid: String,
    secret: Secret,
    #[serde(deserialize_with = "lenient_bool")]
    force_refresh: bool,
}

/// A boolean as leniently as WeChat reads it: also as a number or a text.
fn lenient_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "false"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    })
}

/// `GET /cgi-bin/token`, or `POST` with the parameters in the query or in a form.
pub(super) async fn get_token(
    State(internal): State<Arc<Internal>>,
    Extension(caller): Extension<ClientAddress>,
    uri: Uri,
    body: Body,
) -> Result<Response, Refusal> {
    let form = parameters::read(body).await?;
    let form = String::from_utf8_lossy(&form);
    let param = |name| parameters::param(&uri, &form, name);
    let call = TokenCall {
        grant_type: param("grant_type"),
        appid: param("appid"),
        secret: Secret::new(param("secret")),
        force_refresh: false,
    };
    internal.hand_out(&call, caller.0).await
}

/// `POST /cgi-bin/stable_token`
pub(super) async fn get_stable_token(
    State(internal): State<Arc<Internal>>,
    Extension(caller): Extension<ClientAddress>,
    body: Body,
) -> Result<Response, Refusal> {
    let body = parameters::read(body).await?;
    // WeChat accepts a byte order mark, which some languages write first.
    let body = without_mark(&body);
    if body.trim_ascii().is_empty() {
        return Err(Refusal::new(44002, "empty post data: send JSON"));
    }
    // The parser's own message could quote the secret.
    let call = serde_json::from_slice(body);
    let call = call.map_err(|_| Refusal::new(47001, "data format error: expected JSON as for WeChat"))?;
    internal.hand_out(&call, caller.0).await
}

impl Internal {
    async fn hand_out(&self, call: &TokenCall, address: IpAddr) -> Result<Response, Refusal> {
        let (account, client) = self.admit(call, address)?;
        let client_name = ClientName(client.name().to_owned());
        let answer = self.token_for(account, &client, call.force_refresh).await;
        let answer = answer.map_err(|unavailable| self.unavailable(&unavailable));
        Ok((Extension(client_name), answer).into_response())
    }

    /// Checks a call in WeChat's order.
    fn admit(&self, call: &TokenCall, address: IpAddr) -> Result<(&Account, TokenClient), Refusal> {
        let account = self.public.directory.find(Some(&call.appid));
        if account.is_none() && !call.appid.is_empty() {
            let why = "invalid appid: this gateway serves no such account";
            return Err(self.refuse("unknown_appid", 40013, why));
        }
        if call.grant_type != "client_credential" {
            let why = "invalid grant_type: expected client_credential";
            return Err(self.refuse("malformed", 40002, why));
        }
        let account = account.ok_or_else(|| self.refuse("malformed", 41002, "appid missing"))?;
        if call.secret.is_blank() {
            return Err(self.refuse("malformed", 41004, "appsecret missing"));
        }
        let client = self.clients.identify(account.app_id(), &call.secret, address);
        let client = client.map_err(|error| match error {
            AuthError::WrongSecret => self.refuse("wrong_secret", 40125, "invalid appsecret"),
            AuthError::NotForThisAccount => {
                let why = "invalid appsecret: this client may not ask for this account";
                self.refuse("not_for_this_account", 40125, why)
            }
        })?;
        Ok((account, client))
    }

    async fn token_for(&self, account: &Account, client: &TokenClient, force: bool) -> Result<Response, Unavailable> {
        let (app_id, credentials, handed_out) = (account.app_id(), &account.credentials, &self.handed_out);
        let mut token = credentials.token().await?;
        let id = client.id();
        let is_suspected = force
            || handed_out.within(TOKEN_ASKED_TTL, app_id, client, &token.fingerprint)
            || credentials.was_asked(&token, &id).await;
        if is_suspected {
            token = credentials.verified_token().await?;
        }
        // However often a client asks, Redis hears of it a few times a minute.
        if !handed_out.within(TOKEN_ASKED_TTL / 6, app_id, client, &token.fingerprint) {
            credentials.note_asked(&token, &id);
        }
        if handed_out.note(app_id, client, &token.fingerprint) {
            let from = match client {
                TokenClient::Named(_) => None,
                TokenClient::AppSecret(address) => Some(*address),
            };
            credentials.note_handed_out(&token, client.name().to_owned(), from);
        }
        let lifetime = credentials.promise_lifetime(&token, self.clients.min_lifetime(client));
        let body = json!({
            "access_token": token.value.expose(),
            "expires_in": lifetime.as_secs(),
        });
        Ok(no_store(StatusCode::OK, &body))
    }
}
