//! The faults to inject: one type for tests in Rust and for the control API in JSON.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::answer::{End, JSON};
use super::api::Api;
use crate::account::AppId;

/// One fault in an answer. Several on one [`Rule`] apply in order, so that an error can, for example, be sent as
/// `text/plain`, late, and byte by byte.
///
/// In JSON the name is in `kind`: `{"kind":"errcode","code":40001}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    // Faults that replace the operation, which is not executed.
    /// WeChat refuses, in HTTP 200.
    Errcode {
        /// The `errcode`.
        code: i64,
        /// The `errmsg`; by default WeChat's own for this code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A proxy answers with this HTTP status.
    Status {
        /// The status.
        status: u16,
        /// The body, as `text/html`.
        #[serde(default)]
        body: String,
    },
    /// HTTP 200 with this body.
    Body {
        /// The body.
        body: String,
        /// Its `Content-Type`.
        #[serde(default = "wechat_json")]
        content_type: String,
    },
    /// HTTP 200 with an empty body.
    Empty,
    /// A redirect.
    Redirect {
        /// The `Location` header.
        location: String,
        /// The status.
        #[serde(default = "found")]
        status: u16,
    },
    /// Exactly these bytes, unchecked, then the connection closes.
    Raw {
        /// The bytes. In JSON a string, or a list of numbers if they are not UTF-8.
        #[serde(deserialize_with = "text_or_bytes")]
        bytes: Vec<u8>,
    },
    /// The connection breaks (TCP RST) before anything is executed.
    Reset,
    /// The connection closes (TCP FIN) before anything is executed.
    Close,
    /// Nothing is executed, and no answer ever comes.
    Stall,

    // The operation is executed, but its answer is lost or late.
    /// The operation is executed, but its answer never arrives.
    LostAnswer {
        /// How the connection ends.
        #[serde(default)]
        end: End,
    },
    /// The answer is late.
    Delay {
        /// By how many milliseconds.
        millis: u64,
        /// Whether the operation is delayed too, rather than executed at once.
        #[serde(default)]
        before_operation: bool,
    },
    /// The answer is sent only when this fault's rule is removed.
    Hold {
        /// Whether the operation is delayed too, rather than executed at once.
        #[serde(default)]
        before_operation: bool,
    },

    // Faults that change the content of the answer, whether it is a success or an error.
    /// Another `expires_in`: short, 0, negative, a string; `null` removes it.
    ExpiresIn {
        /// The new value.
        value: Value,
    },
    /// These JSON fields are set, or removed if `null`.
    Fields {
        /// By name.
        set: Map<String, Value>,
    },
    /// Every number in the JSON becomes a string, including `errcode`.
    NumbersAsStrings,
    /// A string in the JSON has raw control characters, which JSON forbids.
    ControlCharacters,
    /// Another `Content-Type`; `null` removes it.
    ContentType {
        /// The new value.
        value: Option<String>,
    },
    /// Headers are replaced or added, unchecked: line breaks in a value are sent.
    Headers {
        /// By name.
        set: std::collections::BTreeMap<String, String>,
    },
    /// The body is compressed, whether or not the client accepts that.
    Gzip,

    // The answer is correct, but sent incorrectly.
    /// The body ends before its `Content-Length`.
    Cut {
        /// How many bytes of the body are sent.
        after: usize,
        /// How the connection then ends; `stall` leaves it open.
        #[serde(default = "closed")]
        end: End,
    },
    /// The body is sent in small pieces.
    Drip {
        /// Bytes per piece.
        bytes: usize,
        /// The pause after each piece.
        millis: u64,
    },
    /// `Content-Length` is wrong; the connection closes after the body.
    WrongLength {
        /// Added to the true length.
        off_by: i64,
    },
    /// The body is chunked, without `Content-Length`.
    Chunked,
    /// No length at all: the body ends when the connection closes.
    NoLength,
}

/// Which calls the faults apply to, and how often.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The API; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// Only calls about this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    /// Only calls with this `media_id` in their query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<String>,
    /// The faults; in JSON one, or a list that applies in order.
    #[serde(alias = "fault", deserialize_with = "one_or_many")]
    pub faults: Vec<Fault>,
    /// How many calls it applies to; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How many calls it skips first.
    #[serde(default)]
    pub skip: u64,
}

impl Fault {
    /// WeChat refuses with `code` and its own text.
    pub fn errcode(code: i64) -> Self {
        Self::Errcode { code, message: None }
    }

    /// HTTP status `status` with a proxy's page.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            body: format!("<html><body><h1>{status}</h1></body></html>"),
        }
    }

    /// The answer is late by `delay`; the operation is executed at once.
    pub fn delay(delay: Duration) -> Self {
        Self::Delay {
            millis: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            before_operation: false,
        }
    }

    /// The operation is executed, and the connection is reset instead of answering.
    pub fn lost_answer() -> Self {
        Self::LostAnswer { end: End::Reset }
    }

    /// The body, and with it the connection, ends after `after` bytes.
    pub fn cut(after: usize) -> Self {
        Self::Cut { after, end: End::Close }
    }

    /// The body stops after `after` bytes, and the connection stays open.
    pub fn stall_after(after: usize) -> Self {
        Self::Cut { after, end: End::Stall }
    }

    /// Its name in JSON.
    pub fn kind(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json["kind"].as_str().unwrap_or_default().to_owned()
    }

    /// This fault for every call of `api`.
    #[must_use]
    pub fn on(self, api: Api) -> Rule {
        Rule {
            api: Some(api),
            ..Rule::from(self)
        }
    }
}

impl Rule {
    /// Adds a fault, which applies after the others.
    #[must_use]
    pub fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Applies to this many calls.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Applies to one call.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Skips this many calls first.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Applies only to calls about this account.
    #[must_use]
    pub fn for_account(mut self, app_id: AppId) -> Self {
        self.app_id = Some(app_id);
        self
    }

    /// Applies only to calls with this `media_id`.
    #[must_use]
    pub fn for_media(mut self, media_id: impl Into<String>) -> Self {
        self.media_id = Some(media_id.into());
        self
    }
}

impl From<Fault> for Rule {
    /// This fault for every call of every API.
    fn from(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
            ..Self::default()
        }
    }
}

fn wechat_json() -> String {
    JSON.to_owned()
}

fn found() -> u16 {
    302
}

fn closed() -> End {
    End::Close
}

/// Hand-written instead of an untagged enum, whose errors do not say what is wrong.
fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = match Value::deserialize(deserializer)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    let read = |value| serde_json::from_value(value).map_err(serde::de::Error::custom);
    list.into_iter().map(read).collect()
}

/// One rule, or a list of them.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Rules(#[serde(deserialize_with = "one_or_many")] pub(super) Vec<Rule>);

fn text_or_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text.into_bytes()),
        list => serde_json::from_value(list).map_err(serde::de::Error::custom),
    }
}
