//! A string that can't be printed: AppSecrets, tokens, tickets, keys.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What is printed instead of a secret.
pub const MASK: &str = "********";

/// A value that must never reach a log, an error, a metric, a key name or `wxgate config`.
///
/// `Debug` and `Serialize` print a mask, `Display` does not exist, the memory is wiped on drop,
/// and `==` takes constant time.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, for the code that sends or compares it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// True if it is empty or only white space.
    pub fn is_blank(&self) -> bool {
        self.expose().trim().is_empty()
    }

    /// The first 8 hex digits of the value's SHA-256: enough to tell two tokens apart in a log, useless for guessing one.
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
        // An empty secret is not secret: the operator needs to see that it is not set.
        serializer.serialize_str(if self.expose().is_empty() { "" } else { MASK })
    }
}

/// The error for a value of another type; no other type of setting uses the same text.
pub(crate) const EXPECTED: &str = "expected a string in quotes (the value is not shown, it may be secret)";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own error would quote the value.
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(EXPECTED))?;
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_masked_wherever_it_is_printed() {
        let secret = Secret::new("hunter2-hunter2");
        assert_eq!(format!("{secret:?}"), MASK);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{MASK}\""));
        let wrong = serde_json::from_str::<Secret>("4711").unwrap_err().to_string();
        assert!(!wrong.contains("4711"), "{wrong}");
    }

    #[test]
    fn fingerprint_is_the_start_of_the_sha_256() {
        assert_eq!(Secret::new("abc").fingerprint(), "ba7816bf");
    }
}
