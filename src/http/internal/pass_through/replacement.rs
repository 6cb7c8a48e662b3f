//! The current token in place of one of ours that no longer is current.
//!
//! An SDK may keep a token for the life that it was promised, and many do so even after WeChat has rejected it. A large
//! upload can't be repeated. So a token that is known to be old is replaced before the call goes out.

use axum::http::header;
use bytes::Bytes;

use super::call::{ACCESS_TOKEN, ProxiedCall, token_of};
use super::parameters;
use crate::credentials::Ours;
use crate::http::internal::answer::Refusal;
use crate::secret::Secret;

impl ProxiedCall<'_> {
    /// Replaces the token in the query, if that is to be done.
    pub(super) async fn replace_token_in_query(&mut self) -> Result<(), Refusal> {
        if let Some(token) = &self.token
            && let Some(current) = self.current_in_place_of(token).await?
        {
            self.head.query =
                (self.head.query.take()).map(|query| parameters::replaced(&query, ACCESS_TOKEN, &current));
            self.token = Some(current);
        }
        Ok(())
    }

    /// Replaces the token in the form that is posted, if there is none in the query.
    pub(super) async fn replace_token_in_form(&self, body: &mut Bytes) -> Result<(), Refusal> {
        if self.posts_form()
            && !self.has_token()
            && let Ok(form) = str::from_utf8(body)
            && let Some(token) = token_of(&self.head.path, form)
            && let Some(current) = self.current_in_place_of(&token).await?
        {
            *body = parameters::replaced(form, ACCESS_TOKEN, &current).into();
        }
        Ok(())
    }

    fn posts_form(&self) -> bool {
        let kind = self.head.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    async fn current_in_place_of(&self, token: &Secret) -> Result<Option<Secret>, Refusal> {
        let Some((account, Ours::Former)) = self.internal.owner_of(token).await else {
            return Ok(None);
        };
        let current = account.credentials.token().await;
        let current = current.map_err(|unavailable| self.internal.unavailable(&unavailable))?;
        tracing::debug!(
            app_id = %account.app_id(),
            former = token.fingerprint(),
            token = current.fingerprint,
            "the token of a call that is passed through is no longer current; this one goes out instead"
        );
        Ok(Some(current.value.clone()))
    }
}
