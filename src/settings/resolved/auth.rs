//! `[auth]`: how callers are authenticated, with the keys that JSON Web Tokens are verified with.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use url::Url;

use crate::secret::Secret;
use crate::settings::problem::UnplacedProblems;
use crate::settings::sections::{self, AuthMode};

/// How callers of the upload route are authenticated.
#[derive(Clone)]
pub enum Auth {
    /// Not at all.
    None,
    /// By one of these keys, none of which is blank.
    ApiKeys(Vec<Secret>),
    /// By a JSON Web Token, verified with these keys.
    Jwt(JwtKeys),
}

/// Where the verification keys come from.
#[derive(Clone)]
pub enum JwtKeys {
    /// A single key from the settings.
    Fixed(DecodingKey),
    /// A JSON Web Key Set at this address.
    Published(Url),
}

pub(in crate::settings) fn resolve(auth: &sections::Auth, problems: &mut UnplacedProblems) -> Option<Auth> {
    let given = auth.mode != AuthMode::ApiKey || !auth.api_keys.is_empty();
    let text = "missing: auth.mode \"api_key\" needs at least one key";
    problems.add_unless(given, &["auth.api_keys", "auth.mode"], text);
    let blank = auth.api_keys.iter().any(Secret::is_blank);
    let text = "one of the keys is empty, and would admit everybody";
    problems.add_unless(!blank, &["auth.api_keys"], text);
    Some(match auth.mode {
        AuthMode::None => Auth::None,
        AuthMode::ApiKey => Auth::ApiKeys(auth.api_keys.clone()),
        AuthMode::Jwt => Auth::Jwt(jwt_keys(auth, problems)?),
    })
}

fn jwt_keys(auth: &sections::Auth, problems: &mut UnplacedProblems) -> Option<JwtKeys> {
    let algorithm = auth.jwt_algorithm;
    let Some(url) = &auth.jwt_jwks_url else {
        let keys = ["auth.jwt_key", "auth.jwt_algorithm", "auth.mode", "auth.jwt_jwks_url"];
        let key = decoding_key(&auth.jwt_key, algorithm);
        let key = key.map_err(|problem| problems.add_unless(false, &keys, problem)).ok()?;
        return Some(JwtKeys::Fixed(key));
    };
    let text = "can't be used together with auth.jwt_key; set one of the two";
    problems.add_unless(auth.jwt_key.is_blank(), &["auth.jwt_jwks_url", "auth.jwt_key"], text);
    let text = format!(
        "holds public keys, and {algorithm:?} needs a shared secret; set auth.jwt_algorithm to what your identity provider \
         signs with, such as \"RS256\""
    );
    let shared = algorithm.family() == AlgorithmFamily::Hmac;
    problems.add_unless(!shared, &["auth.jwt_jwks_url", "auth.jwt_algorithm"], text);
    Some(JwtKeys::Published(url.clone()))
}

fn decoding_key(key: &Secret, algorithm: Algorithm) -> Result<DecodingKey, String> {
    if key.is_blank() {
        let missing =
            "missing: auth.mode \"jwt\" needs the shared secret, or the public key in PEM, or auth.jwt_jwks_url";
        return Err(missing.to_owned());
    }
    let text = key.expose();
    let unfit = |what: &str| format!("expected {what} in PEM for {algorithm:?} (the value is not shown)");
    let parse = match algorithm.family() {
        // A public key is public: anybody could sign tokens with it.
        AlgorithmFamily::Hmac if text.trim_start().starts_with("-----BEGIN") => {
            return Err(format!("expected a shared secret for {algorithm:?}, not a key in PEM"));
        }
        AlgorithmFamily::Hmac => return Ok(DecodingKey::from_secret(text.as_bytes())),
        // The library accepts it, but then refuses every token.
        _ if text.contains("PRIVATE KEY-----") => return Err(unfit("a public key, not a private one,")),
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem,
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem,
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem,
    };
    let parsed = parse(text.as_bytes()).map_err(|_| unfit("a public key"))?;
    let bytes = parsed.try_get_as_bytes().unwrap_or_default();
    match algorithm {
        // The library also accepts a key of the wrong size, and then refuses every token.
        Algorithm::ES256 if !is_point(bytes.len(), 32) => Err(unfit("a public key on the curve P-256")),
        Algorithm::ES384 if !is_point(bytes.len(), 48) => Err(unfit("a public key on the curve P-384")),
        _ if algorithm.family() == AlgorithmFamily::Rsa && is_short_rsa(bytes) => {
            Err(unfit("a public key of 2048 bits or more"))
        }
        _ => Ok(parsed),
    }
}

/// Whether `der`, an `RSAPublicKey` of PKCS #1, has less than 2048 bits. It is a sequence that begins with the modulus. A
/// 2048-bit modulus has 257 bytes: since its highest bit is set and it is not negative, a zero comes first.
fn is_short_rsa(der: &[u8]) -> bool {
    match der {
        [0x30, 0x82, _, _, 0x02, 0x82, high, low, ..] => u16::from_be_bytes([*high, *low]) < 1 + 2048 / 8,
        _ => true,
    }
}

/// Whether a point with coordinates of `coordinate` bytes has `length` bytes, compressed or not.
fn is_point(length: usize, coordinate: usize) -> bool {
    length == 1 + coordinate || length == 1 + 2 * coordinate
}
