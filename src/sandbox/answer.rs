//! An answer before it is sent: status, headers in their order and spelling, body.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

/// WeChat's media type for JSON. Note `encoding`, not `charset`.
pub(super) const JSON: &str = "application/json; encoding=utf-8";

/// An answer of WeChat's API.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names as they are spelled on the wire. `Date`, `Connection` and the length are added when it is sent.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// Whether the connection is closed after it.
    pub(super) close: bool,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A JSON object, as fields so that faults can change them.
    Json(Fields),
    /// Anything else.
    Bytes(Bytes),
}

/// A JSON object's fields, in WeChat's order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(Cow<'static, str>, Value)>);

impl Fields {
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The fields of a success that starts with `errcode` 0.
    pub(super) fn ok() -> Self {
        Self::default().with("errcode", 0).with("errmsg", "ok")
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Sets the field of this name, or removes it if `value` is null.
    pub(super) fn replace(&mut self, name: &str, value: &Value) {
        match self.0.iter().position(|(field, _)| field == name) {
            Some(at) if value.is_null() => drop(self.0.remove(at)),
            Some(at) => self.0[at].1 = value.clone(),
            None if value.is_null() => {}
            None => self.0.push((name.to_owned().into(), value.clone())),
        }
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Compact, on one line.
    pub(super) fn to_json(&self) -> String {
        let field = |(name, value): &(Cow<'_, str>, Value)| format!("{}:{value}", Value::from(name.as_ref()));
        let fields: Vec<String> = self.0.iter().map(field).collect();
        format!("{{{}}}", fields.join(","))
    }
}

impl Body {
    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Body::Json(fields) => fields.to_json().into(),
            Body::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Answer {
    /// 200 with this object, as all of WeChat's JSON comes, errors included.
    pub(super) fn json(fields: Fields) -> Self {
        Self::new(200, Body::Json(fields)).header("Content-Type", JSON)
    }

    /// This status with an empty body.
    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, Body::Bytes(Bytes::new()))
    }

    pub(super) fn new(status: u16, body: Body) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            close: false,
        }
    }

    /// Replaces the header of this name, whatever its case, or adds it.
    #[must_use]
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_header(name, Some(value.into()));
        self
    }

    /// The same in place; `None` removes it.
    pub(super) fn set_header(&mut self, name: &str, value: Option<String>) {
        let at = self
            .headers
            .iter()
            .position(|(header, _)| header.eq_ignore_ascii_case(name));
        match (at, value) {
            (Some(at), Some(value)) => self.headers[at] = (name.to_owned(), value),
            (Some(at), None) => drop(self.headers.remove(at)),
            (None, Some(value)) => self.headers.push((name.to_owned(), value)),
            (None, None) => {}
        }
    }

    /// The outcome in a word, for the log.
    pub(super) fn outcome(&self) -> String {
        if self.status != 200 {
            return format!("status {}", self.status);
        }
        match &self.body {
            Body::Json(fields) => match fields.get("errcode") {
                None => "ok".to_owned(),
                Some(code) if code.as_i64() == Some(0) => "ok".to_owned(),
                Some(code) => format!("errcode {code}"),
            },
            Body::Bytes(_) => "ok".to_owned(),
        }
    }
}
