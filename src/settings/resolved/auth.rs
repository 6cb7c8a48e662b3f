//! `[auth]`: how callers are authenticated, with the key that JSON Web Tokens are verified with.

use jsonwebtoken::DecodingKey;

use crate::secret::Secret;
use crate::settings::sections::{self, AuthMode, JwtAlgorithm};
use crate::settings::validate::findings::Findings;

/// How callers of the upload route are authenticated.
#[derive(Clone)]
pub enum Auth {
    /// Not at all.
    None,
    /// By one of these keys; none of them is blank.
    ApiKeys(Vec<Secret>),
    /// By a JSON Web Token.
    Jwt(Jwt),
}

/// What makes a JSON Web Token valid.
#[derive(Clone)]
pub struct Jwt {
    /// The key that verifies it.
    pub key: DecodingKey,
    /// The one algorithm accepted.
    pub algorithm: JwtAlgorithm,
    /// The audience it must name.
    pub audience: Option<String>,
    /// The issuer it must name.
    pub issuer: Option<String>,
}

pub(super) fn resolve(auth: &sections::Auth, findings: &mut Findings) -> Option<Auth> {
    let given = auth.mode != AuthMode::ApiKey || !auth.api_keys.is_empty();
    let text = "missing: auth.mode \"api_key\" needs at least one key";
    findings.require(given, &["auth.api_keys", "auth.mode"], text);
    let blank = auth.api_keys.iter().any(Secret::is_blank);
    let text = "one of the keys is empty, and would admit everybody";
    findings.require(!blank, &["auth.api_keys"], text);
    Some(match auth.mode {
        AuthMode::None => Auth::None,
        AuthMode::ApiKey => Auth::ApiKeys(auth.api_keys.clone()),
        AuthMode::Jwt => {
            let keys = ["auth.jwt_key", "auth.jwt_algorithm", "auth.mode"];
            let key = decoding_key(&auth.jwt_key, auth.jwt_algorithm);
            Auth::Jwt(Jwt {
                key: key.map_err(|problem| findings.require(false, &keys, problem)).ok()?,
                algorithm: auth.jwt_algorithm,
                audience: non_empty(&auth.jwt_audience),
                issuer: non_empty(&auth.jwt_issuer),
            })
        }
    })
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn decoding_key(key: &Secret, algorithm: JwtAlgorithm) -> Result<DecodingKey, String> {
    if key.is_blank() {
        return Err("missing: auth.mode \"jwt\" needs the shared secret, or the public key in PEM".to_owned());
    }
    let text = key.expose();
    let is_pem = text.trim_start().starts_with("-----BEGIN");
    let unfit = |what: &str| format!("expected {what} in PEM for {algorithm:?} (the value is not shown)");
    let parse = match algorithm {
        // A public key is public: anybody could sign tokens with it.
        JwtAlgorithm::HS256 if is_pem => {
            return Err("expected a shared secret for HS256, not a key in PEM".to_owned());
        }
        JwtAlgorithm::HS256 => return Ok(DecodingKey::from_secret(text.as_bytes())),
        _ if !is_pem => {
            let expected = "expected a public key in PEM (\"-----BEGIN PUBLIC KEY-----\") for auth.jwt_algorithm";
            return Err(expected.to_owned());
        }
        // The library accepts it, and then refuses every token.
        _ if text.contains("PRIVATE KEY-----") => return Err(unfit("a public key, not a private one,")),
        JwtAlgorithm::RS256 => DecodingKey::from_rsa_pem,
        JwtAlgorithm::ES256 => DecodingKey::from_ec_pem,
        JwtAlgorithm::EdDSA => DecodingKey::from_ed_pem,
    };
    let parsed = parse(text.as_bytes()).map_err(|_| unfit("a public key"))?;
    let length = parsed.try_get_as_bytes().map_or(0, <[u8]>::len);
    match algorithm {
        // The same is true for keys of the wrong size.
        JwtAlgorithm::RS256 if length < RSA_2048 => Err(unfit("a public key of 2048 bits or more")),
        JwtAlgorithm::ES256 if !P256_POINT.contains(&length) => Err(unfit("a public key on the curve P-256")),
        _ => Ok(parsed),
    }
}

/// The bytes of the shortest RSA key that is accepted: a modulus of 2048 bits and its encoding.
const RSA_2048: usize = 2048 / 8 + 4;
/// The bytes of a point on P-256, compressed or not.
const P256_POINT: [usize; 2] = [1 + 32, 1 + 2 * 32];
