//! Types of other crates that settings write as text.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// How a type is written in settings; for serde's `with`, which calls the two provided functions.
pub trait AsText {
    /// The type.
    type Value;

    /// What to say if the text can't be parsed, without repeating it.
    const EXPECTED: &'static str;

    /// The value of a text.
    fn parse(text: &str) -> Option<Self::Value>;

    /// A text that gives the value again.
    fn print(value: &Self::Value) -> String;

    /// Reads a value.
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(Self::EXPECTED))
    }

    /// Writes a value.
    fn serialize<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::print(value))
    }
}
