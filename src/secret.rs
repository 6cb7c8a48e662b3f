//! A string that can't be printed: AppSecrets, tokens, tickets, keys.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What stands in place of a secret wherever settings are printed.
pub const MASK: &str = "********";

/// The key of the one-entry table by which the settings loader hands over the content of an
/// `x_file`; only a [`Secret`] understands it, so only secrets have an `x_file`.
pub(crate) const FROM_FILE: &str = "$file-content";

/// A value that must never reach a log, an error, a metric, a key name or `wxgate config`.
///
/// `Debug` and `Serialize` print a mask, `Display` does not exist, the memory is wiped on drop,
/// and `==` takes the same time wherever the first difference lies.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, for the line that sends or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// True where there is nothing in it, or only white space.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.expose().trim().is_empty()
    }

    /// The first 8 hex digits of the value's SHA-256: enough to tell two tokens apart in a log,
    /// no help in guessing one.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.expose().as_bytes());
        hex::encode(&digest[..4])
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An empty secret is no secret: the operator wants to see that it is not set.
        serializer.serialize_str(if self.expose().is_empty() { "" } else { MASK })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Reads a string and, unlike serde's own visitor, never repeats what it was given instead.
struct SecretVisitor;

const EXPECTED: &str = "expected a string in quotes (the value is not shown, it may be secret)";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret::new(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        match map.next_entry::<String, String>() {
            Ok(Some((key, content))) if key == FROM_FILE => Ok(Secret::new(content)),
            _ => Err(de::Error::custom(EXPECTED)),
        }
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_is_printed() {
        let secret = Secret::new("hunter2-hunter2");
        assert_eq!(format!("{secret:?}"), MASK);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{MASK}\""));
        let wrong = serde_json::from_str::<Secret>("4711").unwrap_err().to_string();
        assert!(!wrong.contains("4711"), "{wrong}");
    }

    #[test]
    fn a_fingerprint_is_the_head_of_the_sha_256() {
        assert_eq!(Secret::new("abc").fingerprint(), "ba7816bf");
    }
}
