//! JSON Web Tokens: where a request has one, and whether it is valid.

use std::sync::Arc;

use http::HeaderMap;
use jsonwebtoken::errors::Error;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::cookie::TokenCookie;
use super::key_set::KeySet;
use super::{bearer, refused};
use crate::http::ApiError;
use crate::settings::resolved::JwtKeys;
use crate::settings::{Auth, Settings, UnusableSetting};

/// How far the clocks of the issuer of tokens and of this host may differ, in seconds.
const LEEWAY: u64 = 30;

/// Checks the token of a request.
#[derive(Clone)]
pub struct JwtVerifier {
    keys: Keys,
    validation: Validation,
    cookie: Option<TokenCookie>,
}

/// What a token may be signed with.
#[derive(Clone)]
enum Keys {
    /// One key, from the settings.
    Fixed(DecodingKey),
    /// The keys that the issuer publishes.
    Published(Arc<KeySet>),
}

impl JwtVerifier {
    pub(super) fn new(keys: &JwtKeys, settings: &Settings) -> Result<Self, UnusableSetting> {
        let (auth, origins) = (&settings.auth, &settings.server.cors_allowed_origins);
        Ok(Self {
            keys: match keys {
                JwtKeys::Fixed(key) => Keys::Fixed(key.clone()),
                JwtKeys::Published(url) => {
                    let keys = KeySet::new(url, auth.jwt_algorithm, &settings.http_client)?;
                    Keys::Published(Arc::new(keys))
                }
            },
            validation: validation(auth),
            cookie: auth.jwt_cookie.name().map(|name| TokenCookie::new(name, origins)),
        })
    }

    /// The same with this key, if it is a fixed one.
    pub(super) fn with_key_of(&self, keys: &JwtKeys) -> Self {
        let mut verifier = self.clone();
        if let JwtKeys::Fixed(key) = keys {
            verifier.keys = Keys::Fixed(key.clone());
        }
        verifier
    }

    pub(super) fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Published(keys) => Some(keys),
        }
    }

    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let token = self.token(headers)?;
        match &self.keys {
            Keys::Fixed(key) => self.verify(token, key),
            Keys::Published(keys) => {
                let header = decode_header(token).map_err(|error| invalid(&error))?;
                // Without this, anybody could make us ask for keys.
                if !self.validation.algorithms.contains(&header.alg) {
                    return Err(refused("the token is not valid"));
                }
                self.verify(token, &keys.find(header.kid.as_deref()).await?)
            }
        }
    }

    /// The token of the request: the bearer token, else that of the cookie.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
        match (bearer(headers), &self.cookie) {
            (Some(token), _) => Ok(token),
            (None, Some(cookie)) => cookie.token(headers),
            (None, None) => Err(refused("send a JSON Web Token as a bearer token")),
        }
    }

    fn verify(&self, token: &str, key: &DecodingKey) -> Result<(), ApiError> {
        match decode::<Claims>(token, key, &self.validation) {
            // The issuer demands an extension, and none is supported (RFC 7515, section 4.1.11).
            Ok(token) if token.header.crit.is_some() => Err(refused("the token is not valid")),
            Ok(_) => Ok(()),
            Err(error) => Err(invalid(&error)),
        }
    }
}

/// The library checks the claims, but takes a list of issuers if the one expected is among them. An issuer is one
/// string (RFC 7519, section 4.1.1); a token with anything else can't be read into this.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "iss")]
    _iss: Option<String>,
}

fn invalid(error: &Error) -> ApiError {
    refused("the token is not valid").with_detail(error)
}

/// Checks one algorithm, the lifetime, and audience and issuer if they are set. A token without a claim that is
/// checked is refused.
fn validation(auth: &Auth) -> Validation {
    let mut validation = Validation::new(auth.jwt_algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    if auth.jwt_audience.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&[&auth.jwt_audience]);
        required.push("aud");
    }
    if !auth.jwt_issuer.is_empty() {
        validation.set_issuer(&[&auth.jwt_issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}
