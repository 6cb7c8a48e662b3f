//! The token that a call carries: whose it is, and the current one in place of one that no longer is current.
//!
//! An SDK may keep a token for as long as it was told, and many do so even after WeChat has rejected it. A large upload
//! can't be repeated. So a token that is known to be old is replaced before the call goes out.

use axum::http::{HeaderValue, Uri, header};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::parameters::values;
use super::state::Internal;
use crate::credentials::{Ours, Unavailable};
use crate::directory::Account;
use crate::secret::Secret;
use crate::wechat::{ApiPath, CallHead};

/// The parameter that carries a token.
const TOKEN: &str = "access_token";

/// The token in a call's query, if that is unambiguous.
pub(super) fn token_of(path: &ApiPath, uri: &Uri) -> Option<Secret> {
    only_token(path, uri.query().unwrap_or_default().as_bytes())
}

/// The token in the form that a call posts.
fn token_in_form(head: &CallHead, body: &Bytes) -> Option<Secret> {
    let kind = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let query = head.query.as_deref().unwrap_or_default();
    let is_alone =
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") && values(query.as_bytes(), TOKEN).is_empty();
    only_token(&head.path, body).filter(|_| is_alone)
}

fn only_token(path: &ApiPath, encoded: &[u8]) -> Option<Secret> {
    // Those are users' tokens (OAuth); a 40001 there says nothing about the account's token.
    let of_users = path.as_str().trim_start_matches('/').starts_with("sns/");
    // With several, WeChat may use any of them.
    let mut tokens = values(encoded, TOKEN);
    let token = tokens.pop().filter(|_| tokens.is_empty() && !of_users);
    token.map(Secret::new).filter(|token| !token.is_blank())
}

/// `pairs`, of a query or a form, with their token replaced by `token`; every other byte is unchanged.
pub(super) fn with_token(pairs: &str, token: &Secret) -> String {
    let pairs = pairs.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if percent_decode_str(name).eq(TOKEN.bytes()) => {
            format!("{name}={}", utf8_percent_encode(token.expose(), NON_ALPHANUMERIC))
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

impl Internal {
    /// The account that `token` belongs to, if any replica handed it out, or uses it, and the life that was told with it
    /// is not over. What this replica knows comes first, so that the current token of no account costs a look at the
    /// shared store.
    pub(super) async fn owner_of(&self, token: &Secret) -> Option<(&Account, Ours)> {
        let accounts = || self.api.directory.all();
        let here = accounts().find_map(|account| Some((account, account.credentials.recognise_here(token)?)));
        if here.is_some() {
            return here;
        }
        for account in accounts() {
            if let Some(ours) = account.credentials.recognise_elsewhere(token).await {
                return Some((account, ours));
            }
        }
        None
    }

    /// Replaces the token of a call by the current one if it is one of ours that no longer is current. `token` is the one
    /// in its query, `body` its body if it is small. Returns the token that is in the query now.
    pub(super) async fn replace_former_token(
        &self,
        head: &mut CallHead,
        token: Option<Secret>,
        body: Option<&mut Bytes>,
    ) -> Result<Option<Secret>, Unavailable> {
        if let Some(token) = token {
            let Some(current) = self.current_in_place_of(&token).await? else {
                return Ok(Some(token));
            };
            head.query = head.query.take().map(|query| with_token(&query, &current));
            return Ok(Some(current));
        }
        if let Some(body) = body
            && let Some(token) = token_in_form(head, body)
            && let Some(current) = self.current_in_place_of(&token).await?
            && let Ok(form) = str::from_utf8(body)
        {
            *body = with_token(form, &current).into();
            head.headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Ok(None)
    }

    async fn current_in_place_of(&self, token: &Secret) -> Result<Option<Secret>, Unavailable> {
        let Some((account, Ours::Former)) = self.owner_of(token).await else {
            return Ok(None);
        };
        let current = account.credentials.token().await?;
        tracing::debug!(
            app_id = %account.app_id(),
            former = token.fingerprint(),
            token = current.fingerprint,
            "the token of a call that is passed through is no longer current; this one goes out instead"
        );
        Ok(Some(current.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_replaced_and_the_rest_of_the_query_kept() {
        let query = "a=%7e&access_token=old&type=a+b&access_tokens=1&=&b";
        assert_eq!(
            with_token(query, &Secret::new("n-w_1")),
            "a=%7e&access_token=n%2Dw%5F1&type=a+b&access_tokens=1&=&b"
        );
        assert_eq!(
            with_token("access%5ftoken=old", &Secret::new("new")),
            "access%5ftoken=new"
        );
    }

    #[test]
    fn ambiguous_or_users_token_is_left_alone() {
        let token = |uri: &'static str| {
            let uri = Uri::from_static(uri);
            let path = ApiPath::parse(uri.path()).unwrap();
            token_of(&path, &uri).map(|token| token.expose().to_owned())
        };
        assert_eq!(token("/cgi-bin/x?a=1&access_token=t%2D1").as_deref(), Some("t-1"));
        assert_eq!(token("/cgi-bin/x?access%5Ftoken=t").as_deref(), Some("t"));
        for uri in [
            "/cgi-bin/x",
            "/cgi-bin/x?access_token=",
            "/cgi-bin/x?access_token=t&access_token=t",
            "/sns/userinfo?access_token=t&openid=o",
            "//sns/auth?access_token=t",
        ] {
            assert_eq!(token(uri), None, "{uri}");
        }
    }
}
