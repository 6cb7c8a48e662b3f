//! Who may use the upload route.

use http::{HeaderMap, HeaderName, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::cors::X_API_KEY;
use crate::http::{ApiError, Code};
use crate::secret::Secret;
use crate::settings::{JwtAlgorithm, resolved};

/// How callers of the upload route are authenticated.
pub enum Auth {
    /// Not at all.
    Open,
    /// By one of these keys.
    ApiKey(Vec<Secret>),
    /// By a token that this key has signed.
    Jwt(Box<(DecodingKey, Validation)>),
}

/// How far the clocks of the issuer of tokens and of this host may differ, in seconds.
const LEEWAY: u64 = 30;

impl Auth {
    /// As the settings say.
    #[must_use]
    pub fn new(auth: &resolved::Auth) -> Self {
        match auth {
            resolved::Auth::None => Self::Open,
            resolved::Auth::ApiKeys(keys) => Self::ApiKey(keys.clone()),
            resolved::Auth::Jwt(jwt) => Self::Jwt(Box::new((jwt.key.clone(), validation(jwt)))),
        }
    }

    /// Lets the caller with these headers pass, or says what it should have sent.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Open => Ok(()),
            Self::ApiKey(keys) => {
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
            Self::Jwt(verifier) => {
                let (key, validation) = verifier.as_ref();
                let token = bearer(headers).ok_or_else(|| refused("send a JSON Web Token as a bearer token"))?;
                match jsonwebtoken::decode::<Claims>(token, key, validation) {
                    // The issuer demands an extension, and none is supported (RFC 7515, section 4.1.11).
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

/// Checks one algorithm, the lifetime, and audience and issuer if they are set. A token without a claim that is
/// checked is refused.
fn validation(jwt: &resolved::Jwt) -> Validation {
    let mut validation = Validation::new(match jwt.algorithm {
        JwtAlgorithm::HS256 => Algorithm::HS256,
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    });
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    if let Some(audience) = &jwt.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    } else {
        validation.validate_aud = false;
    }
    if let Some(issuer) = &jwt.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}
