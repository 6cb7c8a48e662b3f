//! Reading WeChat's JSON answers, which follow neither JSON nor their own documentation strictly.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};

use super::{BodyProblem, CallError, ErrCode};
use crate::byte_order_mark::without_mark;
use crate::http_client;
use crate::picture::Content;

/// The maximum length of a JSON answer, in bytes. A token answer has about 200.
pub(super) const MAX_JSON: usize = 64 * 1024;

/// An answer that is a JSON object without an error in it.
#[derive(Debug)]
pub(super) struct JsonAnswer(Map<String, Value>);

impl JsonAnswer {
    /// Reads the whole body of `response` and parses it; each chunk may take at most `stall`.
    pub(super) async fn read(response: Response, stall: Duration) -> Result<Self, CallError> {
        if response.status() != StatusCode::OK {
            return Err(CallError::Status(response.status()));
        }
        let body = http_client::whole(response, MAX_JSON, stall).await?;
        Self::parse(&body.ok_or(CallError::Body(BodyProblem::TooLong))?)
    }

    /// Parses `body`. Raw control characters, which WeChat has been seen to send, are removed first; an `errcode` other
    /// than 0 becomes [`CallError::Refused`].
    pub(super) fn parse(body: &[u8]) -> Result<Self, CallError> {
        let body = without_mark(body);
        if body.trim_ascii().is_empty() {
            return Err(CallError::Body(BodyProblem::Empty));
        }
        let clean: Vec<u8> = body.iter().copied().filter(|b| *b >= b' ').collect();
        let object: Map<String, Value> = serde_json::from_slice(&clean).map_err(|error| {
            CallError::Body(if Content::of(body) == Content::Page {
                BodyProblem::Page
            } else if error.is_eof() {
                BodyProblem::CutOff
            } else {
                BodyProblem::Unexpected
            })
        })?;
        let answer = Self(object);
        match answer.integer("errcode") {
            None | Some(0) => Ok(answer),
            Some(code) => {
                let errmsg = answer.text("errmsg").unwrap_or_default();
                let message = errmsg.chars().filter(|c| !c.is_control()).take(256).collect();
                let code = ErrCode(code);
                Err(CallError::Refused { code, message })
            }
        }
    }

    /// The integer `name`, which may be written as a string.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The text `name`, if it is not blank.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.trim().is_empty())
    }
}

/// True if `body` begins like a JSON object, after a byte order mark, white space and control characters.
pub(crate) fn begins_as_json(body: &[u8]) -> bool {
    without_mark(body).iter().find(|b| **b > b' ') == Some(&b'{')
}

impl CallError {
    /// The refusal in `body`, an answer from any API, if there is one.
    pub fn refusal_in(body: &[u8]) -> Option<Self> {
        JsonAnswer::parse(body).err().filter(|error| error.errcode().is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bodies_that_are_not_objects_are_distinguished() {
        let problem = |body: &str| match JsonAnswer::parse(body.as_bytes()) {
            Err(CallError::Body(problem)) => problem,
            other => panic!("{other:?}"),
        };
        assert_eq!(problem(" \n"), BodyProblem::Empty);
        assert_eq!(problem(r#"{"access_tok"#), BodyProblem::CutOff);
        assert_eq!(problem("<html>"), BodyProblem::Page);
        assert_eq!(problem("[1]"), BodyProblem::Unexpected);
    }

    proptest! {
        /// Whatever other fields it has, and whatever control characters it contains.
        #[test]
        fn an_error_is_never_taken_for_a_success(
            code in any::<i64>().prop_filter("an error", |code| *code != 0),
            quoted: bool,
            errmsg in "\\PC{0,300}",
            noise in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..0x20), 0..5),
        ) {
            let code_value = if quoted { Value::from(code.to_string()) } else { Value::from(code) };
            let object = serde_json::json!({ "access_token": "a", "errcode": code_value, "errmsg": errmsg });
            let mut body = object.to_string().into_bytes();
            for (place, byte) in noise {
                let place = place.index(body.len() + 1);
                body.insert(place, byte);
            }
            match JsonAnswer::parse(&body) {
                Err(CallError::Refused { code: found, message }) => {
                    prop_assert_eq!(found, ErrCode(code));
                    prop_assert!(message.chars().count() <= 256 && !message.contains(char::is_control));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
