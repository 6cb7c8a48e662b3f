//! Who may use the upload route.

use axum::http::{HeaderMap, HeaderName, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::cors::X_API_KEY;
use crate::http::{ApiError, Code};
use crate::secret::Secret;
use crate::settings::{self, AuthMode, JwtAlgorithm};

/// How callers of the upload route are known.
pub enum Auth {
    /// Everybody may.
    Open,
    /// Holders of one of these keys.
    ApiKey(Vec<Secret>),
    /// Bearers of a token that this key signed.
    Jwt(Box<(DecodingKey, Validation)>),
}

/// How far the clocks of the issuer of tokens and of this host may differ, in seconds.
const LEEWAY: u64 = 30;

impl Auth {
    /// Reads the settings; an error says what is wrong with `auth.jwt_key`, without quoting it.
    pub fn new(auth: &settings::Auth) -> Result<Self, String> {
        Ok(match auth.mode {
            AuthMode::None => Self::Open,
            AuthMode::ApiKey => Self::ApiKey(auth.api_keys.iter().cloned().collect()),
            AuthMode::Jwt => Self::Jwt(Box::new((decoding_key(auth)?, validation(auth)))),
        })
    }

    /// Lets the caller with these headers pass, or says how it should have shown itself.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Open => Ok(()),
            Self::ApiKey(keys) => {
                let sent = only(headers, &X_API_KEY).or_else(|| bearer(headers));
                let sent = Secret::new(sent.ok_or_else(|| refused("send your key in X-Api-Key or as a bearer token"))?);
                // Every key is compared, so that the time taken does not tell which one came close.
                let matching = keys.iter().filter(|key| **key == sent).count();
                if matching > 0 && !sent.is_blank() {
                    Ok(())
                } else {
                    Err(refused("the key is not valid"))
                }
            }
            Self::Jwt(verifier) => {
                let (key, validation) = verifier.as_ref();
                let token = bearer(headers).ok_or_else(|| refused("send a JSON Web Token as a bearer token"))?;
                match jsonwebtoken::decode::<Claims>(token, key, validation) {
                    // The issuer demands what is not done here (RFC 7515, section 4.1.11).
                    Ok(token) if token.header.crit.is_some() => Err(refused("the token is not valid")),
                    Ok(_) => Ok(()),
                    Err(error) => Err(refused("the token is not valid").with_detail(error)),
                }
            }
        }
    }
}

/// The claims are checked by the library; none is read here.
#[derive(Deserialize)]
struct Claims {}

fn refused(message: &str) -> ApiError {
    ApiError::new(Code::Unauthorized, message)
}

/// The value of the header `name`; none where it is sent twice, since a proxy on the way may have
/// looked at the other one.
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

fn decoding_key(auth: &settings::Auth) -> Result<DecodingKey, String> {
    let key = auth.jwt_key.expose().as_bytes();
    let parsed = match auth.jwt_algorithm {
        JwtAlgorithm::HS256 => Ok(DecodingKey::from_secret(key)),
        JwtAlgorithm::RS256 => DecodingKey::from_rsa_pem(key),
        JwtAlgorithm::ES256 => DecodingKey::from_ec_pem(key),
        JwtAlgorithm::EdDSA => DecodingKey::from_ed_pem(key),
    };
    parsed.map_err(|_| {
        format!(
            "expected a public key in PEM for {:?} (the value is not shown)",
            auth.jwt_algorithm
        )
    })
}

/// One algorithm, a lifetime, and the audience and issuer where they are set: a token that lacks a
/// claim that is checked is refused, not excused.
fn validation(auth: &settings::Auth) -> Validation {
    let mut validation = Validation::new(match auth.jwt_algorithm {
        JwtAlgorithm::HS256 => Algorithm::HS256,
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    });
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
