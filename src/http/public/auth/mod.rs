//! Who may use the upload route.

mod jwt;
mod key_set;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::headers::X_API_KEY;
use crate::http::{ApiError, Code};
use crate::secret::Secret;
use crate::settings::{Settings, UnusableSetting, resolved};
use jwt::{JwtVerifier, Keys};

pub(crate) use key_set::KeySet;

/// How callers of the upload route are authenticated.
#[derive(Clone)]
pub enum Auth {
    Open,
    ApiKey(Vec<Secret>),
    Jwt(Box<JwtVerifier>),
}

impl Auth {
    pub fn new(settings: &Settings) -> Result<Self, UnusableSetting> {
        Ok(match &settings.resolved.auth {
            resolved::Auth::None => Self::Open,
            resolved::Auth::ApiKeys(keys) => Self::ApiKey(keys.clone()),
            resolved::Auth::Jwt(keys) => Self::Jwt(Box::new(JwtVerifier::new(keys, settings)?)),
        })
    }

    /// The same with the keys of `auth`, which are all that ever changes. Published keys are no secrets, and are kept.
    pub fn with_secrets_of(&self, auth: &resolved::Auth) -> Self {
        match (self, auth) {
            (Self::ApiKey(_), resolved::Auth::ApiKeys(keys)) => Self::ApiKey(keys.clone()),
            (Self::Jwt(verifier), resolved::Auth::Jwt(keys)) => Self::Jwt(Box::new(verifier.with_key_of(keys))),
            _ => self.clone(),
        }
    }

    /// The published keys that tokens are verified with, if they are published.
    pub(crate) fn key_set(&self) -> Option<&Arc<KeySet>> {
        let Self::Jwt(verifier) = self else { return None };
        match &verifier.keys {
            Keys::Fixed(_) => None,
            Keys::Published(keys) => Some(keys),
        }
    }

    /// Lets the caller with these headers pass, or says what it should have sent.
    pub async fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Open => Ok(()),
            Self::ApiKey(keys) => check_key(keys, headers),
            Self::Jwt(verifier) => verifier.check(headers).await,
        }
    }
}

fn check_key(keys: &[Secret], headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = only(headers, &X_API_KEY).or_else(|| bearer(headers));
    let sent = Secret::new(sent.ok_or_else(|| refused("send your key in X-Api-Key or as a bearer token"))?);
    // Every key is compared, so that the time taken does not show how much of one matched.
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

/// The bearer token among `headers`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = only(headers, &header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
