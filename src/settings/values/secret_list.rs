//! Several secrets.

use std::fmt;
use std::ops::Deref;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::secret::Secret;

/// A list of secrets; in a file, one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretList(Vec<Secret>);

impl Deref for SecretList {
    type Target = [Secret];

    fn deref(&self) -> &[Secret] {
        &self.0
    }
}

impl FromIterator<Secret> for SecretList {
    fn from_iter<I: IntoIterator<Item = Secret>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl Serialize for SecretList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = SecretList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings in quotes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SecretList, A::Error> {
        let mut secrets = Vec::new();
        while let Some(secret) = seq.next_element()? {
            secrets.push(secret);
        }
        Ok(SecretList(secrets))
    }

    /// The content of an `x_file`.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretList, A::Error> {
        let content = Secret::deserialize(MapAccessDeserializer::new(map))?;
        let lines = content.expose().lines().map(str::trim);
        Ok(lines.filter(|line| !line.is_empty()).map(Secret::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::secret::FROM_FILE;

    use super::*;

    #[test]
    fn secrets_come_as_a_list_or_one_a_line() {
        let exposed =
            |list: &SecretList| -> Vec<String> { list.iter().map(|secret| secret.expose().to_owned()).collect() };
        let list: SecretList = serde_json::from_str(r#"["a", "b c"]"#).unwrap();
        assert_eq!(exposed(&list), ["a", "b c"]);
        let content = serde_json::json!({ FROM_FILE: "a\r\n\n b c \n" });
        assert_eq!(serde_json::from_value::<SecretList>(content).unwrap(), list);
        assert_eq!(serde_json::to_string(&list).unwrap(), r#"["********","********"]"#);
        assert!(serde_json::from_str::<SecretList>(r#"{"x": "hunter2"}"#).is_err());
    }
}
