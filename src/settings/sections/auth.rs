//! `[auth]`: who may use the upload route; the jsSDK route is public.

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;
use crate::settings::values::{self, AsText};

/// `[auth]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How callers are authenticated.
    pub mode: AuthMode,
    /// The keys, in `X-Api-Key` or as a bearer token.
    pub api_keys: Vec<Secret>,
    /// The only accepted algorithm.
    pub jwt_algorithm: Algorithm,
    /// The shared secret, or the public key in PEM.
    pub jwt_key: Secret,
    /// Instead of `jwt_key`: where the public keys are published, as a JSON Web Key Set.
    #[serde(with = "values::KeySetUrl")]
    pub jwt_jwks_url: Option<Url>,
    /// The cookie that may carry the token instead; empty means none.
    pub jwt_cookie: values::CookieName,
    /// The audience that a token must name; empty means any.
    pub jwt_audience: String,
    /// The issuer that a token must name; empty means any.
    pub jwt_issuer: String,
}

/// How callers of the upload route are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all.
    #[default]
    None,
    /// By a key.
    ApiKey,
    /// By a JSON Web Token.
    Jwt,
}
