//! Tells WeChat's refusal of a token from a user's file that reads like one.
//!
//! `media/get` gives users' files out as they came, and a user can write `{"errcode":40001}` into one. A token that is
//! dropped because of that costs a renewal, and everybody waits for it.

use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap};

use super::{CallError, Meaning};

/// An answer that reads as if WeChat refused the token of the call.
#[derive(Debug)]
pub struct TokenRejection {
    /// The refusal.
    pub error: CallError,
    /// False if it may as well be a user's file. Then the token must be probed before it is dropped.
    pub is_certain: bool,
}

impl TokenRejection {
    /// The refusal of the token in an answer of any API, if there is one.
    #[must_use]
    pub fn in_answer(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if is_file(headers) {
            return None;
        }
        Self::of(CallError::refusal_in(body)?, headers)
    }

    /// `error` as such a refusal, if it is one. It was read from an answer with these headers.
    pub(super) fn of(error: CallError, headers: &HeaderMap) -> Option<Self> {
        let CallError::Refused { code, message } = &error else {
            return None;
        };
        // WeChat's own refusals have an `errmsg`, and nowadays say that they are JSON.
        let is_certain = is_json(headers) && !message.is_empty();
        (code.meaning() == Meaning::TokenRejected).then_some(Self { error, is_certain })
    }
}

/// True if an answer is a file, whatever its bytes look like: WeChat gives files a name, and errors none.
pub(super) fn is_file(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_DISPOSITION)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.to_ascii_lowercase().starts_with("application/json"))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn file_is_no_refusal_and_plain_text_is_doubtful() {
        const REFUSAL: &str = r#"{"errcode":40001,"errmsg":"invalid credential"}"#;
        const BARE: &str = r#"{"errcode":40001}"#;
        const BUSY: &str = r#"{"errcode":-1,"errmsg":"system error"}"#;
        for (content_type, is_file, body, certain) in [
            ("application/json; encoding=utf-8", false, REFUSAL, Some(true)),
            ("text/plain", false, REFUSAL, Some(false)),
            ("", false, REFUSAL, Some(false)),
            ("application/json", false, BARE, Some(false)),
            ("application/json", true, REFUSAL, None),
            ("text/plain", true, REFUSAL, None),
            ("application/json", false, BUSY, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if is_file {
                headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            }
            let found = TokenRejection::in_answer(&headers, body.as_bytes());
            assert_eq!(found.map(|found| found.is_certain), certain, "{content_type}: {body}");
        }
    }
}
