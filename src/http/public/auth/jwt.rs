//! JSON Web Tokens: where a request carries one, and whether it is valid.

use std::sync::Arc;

use http::{HeaderMap, header};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::key_set::KeySet;
use super::{bearer, only, refused};
use crate::http::ApiError;
use crate::settings::resolved::{self, JwtKeys};
use crate::settings::values::Origin;
use crate::settings::{Auth, Settings, UnusableSetting};

/// The accepted clock difference between the token issuer and this host, in seconds.
const LEEWAY: u64 = 30;

/// Checks the token of a request.
pub(super) struct JwtVerifier {
    /// The keys published by the identity provider, with `auth.jwt_jwks_url`.
    pub(super) published: Option<Arc<KeySet>>,
    validation: Validation,
    cookie: Option<TokenCookie>,
}

impl JwtVerifier {
    pub(super) fn new(settings: &Settings) -> Result<Self, UnusableSetting> {
        let auth = &settings.auth;
        let cookie = |name: &str| TokenCookie {
            name: name.to_owned(),
            origins: settings.server.cors_allowed_origins.clone(),
        };
        let published = match &settings.resolved.auth {
            resolved::Auth::Jwt(JwtKeys::Published(url)) => {
                let keys = KeySet::new(url, auth.jwt_algorithm, &settings.http_client)?;
                Some(Arc::new(keys))
            }
            _ => None,
        };
        Ok(Self {
            published,
            validation: validation(auth),
            cookie: auth.jwt_cookie.name().map(cookie),
        })
    }

    /// Checks the token against `keys`.
    pub(super) async fn check(&self, headers: &HeaderMap, keys: &JwtKeys) -> Result<(), ApiError> {
        let token = self.token(headers)?;
        if let JwtKeys::Fixed(key) = keys {
            return self.verify(token, key);
        }
        // Always present: `new` was given the same settings.
        let published = self.published.as_ref();
        let published = published.ok_or_else(|| refused("the token is not valid"))?;
        let header = decode_header(token).map_err(|error| invalid(&error))?;
        // Otherwise anybody could make the gateway fetch keys.
        if !self.validation.algorithms.contains(&header.alg) {
            return Err(refused("the token is not valid"));
        }
        self.verify(token, &published.find(header.kid.as_deref()).await?)
    }

    /// The token of the request: the bearer token, or else the cookie's.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
        match (bearer(headers), &self.cookie) {
            (Some(token), _) => Ok(token),
            (None, Some(cookie)) => cookie.token(headers),
            (None, None) => Err(refused("send a JSON Web Token as a bearer token")),
        }
    }

    fn verify(&self, token: &str, key: &DecodingKey) -> Result<(), ApiError> {
        match decode::<Claims>(token, key, &self.validation) {
            // The issuer requires an extension, and none is supported (RFC 7515, section 4.1.11).
            Ok(token) if token.header.crit.is_some() => Err(refused("the token is not valid")),
            Ok(_) => Ok(()),
            Err(error) => Err(invalid(&error)),
        }
    }
}

/// The library checks the claims, but accepts a list of issuers that contains the expected one. An issuer is a single
/// string (RFC 7519, section 4.1.1); a token with anything else can't be deserialised into this.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "iss")]
    _iss: Option<String>,
}

fn invalid(error: &Error) -> ApiError {
    // A page can act on this one: let its user log in again.
    let message = match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        _ => "the token is not valid",
    };
    refused(message).with_detail(error)
}

/// Checks one algorithm, the lifetime, and audience and issuer if they are set. A token that lacks a checked claim is refused.
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

/// The cookie that may hold the token. A browser sends cookies with every page's requests, so the request must come from
/// a page of ours: otherwise any page could upload as the user who opens it.
struct TokenCookie {
    name: String,
    /// The origins whose pages may use it, in addition to the request's own host.
    origins: Vec<Origin>,
}

impl TokenCookie {
    /// The token in the cookie of a request with these headers, if it comes from a page that may use it.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
        let name = &self.name;
        let token = self.value(headers).ok_or_else(|| {
            refused(format!(
                "send a JSON Web Token as a bearer token, or in the cookie {name} (once)"
            ))
        })?;
        if self.is_of_an_allowed_page(headers) {
            return Ok(token);
        }
        Err(refused(format!(
            "the cookie {name} counts only with an Origin that has this request's own Host, or is in \
             server.cors_allowed_origins"
        )))
    }

    /// The cookie's value; none if it was sent twice, because then one of them may be another site's.
    fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        let cookies = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        let mut values = cookies.filter_map(|cookie| cookie.trim().strip_prefix(&self.name)?.strip_prefix('='));
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    fn is_of_an_allowed_page(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = only(headers, &header::ORIGIN) else {
            return false;
        };
        self.origins.iter().any(|allowed| allowed.as_str() == origin)
            || only(headers, &header::HOST).is_some_and(|host| is_origin_of_host(origin, host))
    }
}

/// Whether `origin` has the name and port of `host`. Its scheme is unknown here: a proxy may terminate TLS.
fn is_origin_of_host(origin: &str, host: &str) -> bool {
    let Some((scheme, _)) = origin.split_once("://") else {
        return false;
    };
    let parsed = |text: String| Origin::try_from(text).ok();
    // With the same scheme for both, a default port may be present or not.
    let origin_of_host = parsed(format!("{scheme}://{host}"));
    origin_of_host.is_some() && origin_of_host == parsed(origin.to_owned())
}
