//! Calls without a token: if a client's secret is the bearer token, the current token is put in.

use axum::http::{HeaderMap, HeaderValue, header};

use super::Internal;
use super::call::ProxiedCall;
use super::target::{is_of_users, takes_secret};
use crate::directory::Account;
use crate::http::internal::answer::Refusal;
use crate::http::internal::clients::TokenClient;
use crate::http::public::bearer;
use crate::secret::Secret;

/// The header that names the account.
const APP_ID: &str = "x-wx-appid";

impl Internal {
    /// Puts the account's current token into `call`, if it has none and a client's secret authenticates it.
    pub(super) async fn sign_in(&self, call: &mut ProxiedCall<'_>, headers: &HeaderMap) -> Result<(), Refusal> {
        if call.has_token() {
            return Ok(());
        }
        let Some((account, client)) = self.signed_in(headers)? else {
            return Ok(());
        };
        let takes_account_token = !is_of_users(&call.head.path) && !takes_secret(&call.head.path);
        if !takes_account_token || call.has_token_of_another_kind() {
            return Ok(());
        }
        let (app_id, name) = (account.app_id(), client.name());
        let token = account.credentials.token().await;
        let token = token.map_err(|unavailable| self.unavailable(&unavailable))?;
        self.client_calls.with_label_values(&[name, app_id.as_str()]).inc();
        tracing::debug!(client = name, %app_id, "a call is passed through with the account's token");
        if self.tokens_put_in.note(app_id, &client, &token.fingerprint) {
            account.credentials.note_handed_out(&token, name.to_owned(), None);
        }
        call.set_token(token.value.clone());
        Ok(())
    }

    /// The client whose secret is the bearer token, if any, and the account that it calls for.
    pub(in crate::http::internal) fn signed_in(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<(&Account, TokenClient)>, Refusal> {
        if !has_bearer(headers) {
            return Ok(None);
        }
        let wrong = |why: &str| self.refuse("wrong_bearer", 40001, format!("invalid credential: {why}"));
        let secret = bearer(headers).map(Secret::new).filter(|secret| !secret.is_blank());
        let secret = secret.ok_or_else(|| wrong("send one Authorization: Bearer <a client's secret>"))?;
        let directory = &self.public.directory;
        let clients = self.clients.with_secret(&secret);
        let allowed = |account: &Account| {
            let client = clients.iter().find(|client| client.may_use(account.app_id()))?;
            Some(TokenClient::Named(client.name.clone()))
        };
        if let Some(name) = headers.get(APP_ID) {
            let account = directory.find(Some(name.to_str().unwrap_or_default())).ok_or_else(|| {
                let why = "invalid appid: X-WX-APPID does not name an account of this gateway";
                self.refuse("unknown_appid", 40013, why)
            })?;
            let why = "the bearer token does not match any client's secret for this account";
            return Ok(Some((account, allowed(account).ok_or_else(|| wrong(why))?)));
        }
        // The default account is the first one.
        let mut accounts = directory.all().filter_map(|account| Some((account, allowed(account)?)));
        let first = accounts.next();
        let first = first.ok_or_else(|| wrong("the bearer token does not match any client's secret"))?;
        let default = directory.find(None).map(Account::app_id);
        if default == Some(first.0.app_id()) || accounts.next().is_none() {
            return Ok(Some(first));
        }
        Err(wrong("this client has several accounts; name one in X-WX-APPID"))
    }
}

/// True if a header, well-formed or not, holds a bearer token.
fn has_bearer(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    values.any(|value| value.to_ascii_lowercase().starts_with(b"bearer"))
}
