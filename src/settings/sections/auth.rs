//! `[auth]`: who may use the upload route; the jsSDK route is public.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// `[auth]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How callers are authenticated.
    pub mode: AuthMode,
    /// The keys, in `X-Api-Key` or as a bearer token.
    pub api_keys: Vec<Secret>,
    /// The one algorithm accepted.
    pub jwt_algorithm: JwtAlgorithm,
    /// The shared secret, or the public key in PEM.
    pub jwt_key: Secret,
    /// The audience that a token must name; if it is empty, any.
    pub jwt_audience: String,
    /// The issuer that a token must name; if it is empty, any.
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

/// The algorithm that JSON Web Tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RFC 7518's and RFC 8037's")]
pub enum JwtAlgorithm {
    #[default]
    HS256,
    RS256,
    ES256,
    EdDSA,
}
