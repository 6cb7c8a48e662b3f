//! Where to look in an answer, and which value to expect.

use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

text! {
    /// A JSON Pointer (RFC 6901); an empty one points to the whole document.
    #[derive(Default)]
    pub struct JsonPointer: is_pointer, "expected a JSON Pointer such as \"/data/url\", or \"\""
}

fn is_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/')) && escapes.all(|rest| rest.starts_with(['0', '1']))
}

/// Where an answer contains a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UrlPlace {
    /// At this place in its JSON.
    Json(JsonPointer),
    /// The whole body, as plain text.
    Body,
    /// In this header.
    Header(HeaderName),
}

impl TryFrom<String> for UrlPlace {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected a JSON Pointer such as \"/data/url\", or \"body\", or a header such as \"header:Location\"";
        if text == "body" {
            return Ok(Self::Body);
        }
        if let Some(name) = text.strip_prefix("header:") {
            return name.parse().map(Self::Header).map_err(|_| EXPECTED);
        }
        let pointer = JsonPointer::try_from(text).map_err(|_| EXPECTED)?;
        Ok(Self::Json(pointer))
    }
}

impl From<UrlPlace> for String {
    fn from(place: UrlPlace) -> Self {
        match place {
            UrlPlace::Json(pointer) => pointer.0,
            UrlPlace::Body => "body".to_owned(),
            UrlPlace::Header(name) => format!("header:{name}"),
        }
    }
}

/// Whether `value` has the same text as `own`, or is the same number: `0`, `"0"` and `0.0` are equal, since services
/// write numbers differently.
pub fn is_same_scalar(own: &toml::Value, value: &Value) -> bool {
    let own = serde_json::to_value(own).ok().as_ref().and_then(scalar_text);
    let is_same_number = |own: &String| value.is_f64() && own.parse().ok() == value.as_f64();
    own.is_some_and(|own| scalar_text(value).as_ref() == Some(&own) || is_same_number(&own))
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_match_by_their_text() {
        for (scalar, same) in [
            (toml::Value::from(0), vec![json!(0), json!("0"), json!(0.0)]),
            (toml::Value::from("0"), vec![json!(0), json!("0")]),
            (toml::Value::from("ok"), vec![json!("ok")]),
            (toml::Value::from(true), vec![json!(true), json!("true")]),
            (toml::Value::from(1.5), vec![json!(1.5), json!("1.5")]),
            (toml::Value::from("2.0"), vec![json!(2.0), json!("2.0")]),
        ] {
            assert!(same.iter().all(|value| is_same_scalar(&scalar, value)), "{scalar:?}");
            for other in json!([1, false, null, [0], {}, "", "OK"]).as_array().unwrap() {
                assert!(!is_same_scalar(&scalar, other), "{scalar:?} {other}");
            }
        }
    }
}
