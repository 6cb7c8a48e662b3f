//! Who may use the upload route.

mod jwt;
mod key_set;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::headers::X_API_KEY;
use crate::http::{ApiError, Code};
use crate::secret::Secret;
use crate::settings::{CurrentSettings, UnusableSetting, resolved};
use jwt::JwtVerifier;

pub(crate) use key_set::KeySet;

/// Authenticates callers of the upload route. Keys are read from the current settings each time, since they may change.
pub struct Auth {
    settings: CurrentSettings,
    jwt: JwtVerifier,
}

impl Auth {
    pub fn new(settings: &CurrentSettings) -> Result<Self, UnusableSetting> {
        Ok(Self {
            jwt: JwtVerifier::new(&settings.load())?,
            settings: Arc::clone(settings),
        })
    }

    /// The keys published by the identity provider, if tokens are verified with these.
    pub(crate) fn key_set(&self) -> Option<&Arc<KeySet>> {
        self.jwt.published.as_ref()
    }

    /// Accepts the caller with these headers, or says what it should have sent.
    pub async fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match &self.settings.load_full().resolved.auth {
            resolved::Auth::None => Ok(()),
            resolved::Auth::ApiKeys(keys) => check_key(keys, headers),
            resolved::Auth::Jwt(keys) => self.jwt.check(headers, keys).await,
        }
    }
}

fn check_key(keys: &[Secret], headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = only(headers, &X_API_KEY).or_else(|| bearer(headers));
    let sent = Secret::new(sent.ok_or_else(|| refused("send your key in X-Api-Key or as a bearer token"))?);
    // Every key is compared, so that the timing does not reveal how much of one matched.
    let matching = keys.iter().filter(|key| **key == sent).count();
    if matching > 0 && !sent.is_blank() {
        Ok(())
    } else {
        Err(refused("the key is not valid"))
    }
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::Unauthorized, message)
}

/// The value of the header `name`; none if it was sent twice, since a proxy may have checked the other one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The bearer token in `headers`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = only(headers, &header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
