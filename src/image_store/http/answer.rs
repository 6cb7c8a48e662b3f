//! The answer of an upload service: whether it has stored the picture, its URL, and the service's message about a
//! failure, made safe for the log.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use reqwest::Response;
use serde_json::Value;
use url::Url;

use crate::byte_order_mark::without_mark;
use crate::http_client;
use crate::image_store::StoreFailure;
use crate::secret::{MASK, Secret};
use crate::settings::values::{UrlPlace, is_same_scalar, parse_http};
use crate::settings::{HttpStore, resolved};

/// The maximum length of an answer, in bytes: it contains little more than a URL.
const MAX_ANSWER: usize = 64 * 1024;

/// An answer with its whole body.
pub(super) struct StoreAnswer {
    status: StatusCode,
    headers: HeaderMap,
    /// `None` if it was too long, was cut off or is not needed.
    body: Option<Vec<u8>>,
}

impl StoreAnswer {
    /// Reads `response`, each chunk of which may take at most `stall`. On success the body is not read if the URL is in a
    /// header: the picture is stored, whatever happens to the body.
    pub(super) async fn read(response: Response, stall: Duration, place: &UrlPlace) -> Result<Self, StoreFailure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let has_url = matches!(place, UrlPlace::Header(name) if headers.contains_key(name));
        let body = if status.is_success() && has_url {
            None
        } else {
            match http_client::whole(response, MAX_ANSWER, stall).await {
                // The status is enough.
                Err(_) if !status.is_success() => None,
                body => body?,
            }
        };
        Ok(Self { status, headers, body })
    }

    /// The picture's URL, if the answer reports success as `settings` describe it. `messages` finds the service's
    /// message about a failure.
    pub(super) fn picture_url(&self, settings: &HttpStore, messages: &MessageReader) -> Result<String, StoreFailure> {
        let said = || messages.of(self.body.as_deref().unwrap_or_default());
        if !self.status.is_success() {
            let text = format!("it answered with HTTP status {}{}", self.status, said());
            return Err(StoreFailure::answered(self.status, text));
        }
        let refused = |why: String| StoreFailure::Refused(format!("{why}{}", said()));
        let (place, found) = match &settings.url_pointer {
            UrlPlace::Header(name) => {
                let found = self.headers.get(name).map(|value| value.to_str().map(str::to_owned));
                let place = format!("header {name}");
                // A header that is not text is not a URL.
                (place, found.map(|text| Value::from(text.unwrap_or_default())))
            }
            UrlPlace::Body => {
                let text = std::str::from_utf8(self.body()?)
                    .ok()
                    .filter(|text| !text.trim().is_empty());
                ("body".to_owned(), text.map(Value::from))
            }
            UrlPlace::Json(pointer) => {
                let body = self.body()?;
                let not_json = |_| {
                    let text = std::str::from_utf8(body).unwrap_or_default().trim();
                    let hint = if public_url(text, None).is_some() {
                        "; for plain text, set image_store.http.url_pointer = \"body\""
                    } else {
                        ""
                    };
                    StoreFailure::Refused(format!("its answer is not JSON{hint}"))
                };
                let json: Value = serde_json::from_slice(body).map_err(not_json)?;
                let success = &settings.success_pointer;
                let value = json.pointer(success.as_str());
                let is_success = |value| is_same_scalar(&settings.success_value, value);
                if !success.as_str().is_empty() && !value.is_some_and(is_success) {
                    let (found, place) = (describe(value), success.as_str());
                    return Err(refused(format!(
                        "its answer has {found} at {place}, not image_store.http.success_value"
                    )));
                }
                (pointer.as_str().to_owned(), json.pointer(pointer.as_str()).cloned())
            }
        };
        let url = found.as_ref().and_then(Value::as_str).map(str::trim);
        if let Some(url) = url.and_then(|url| public_url(url, settings.public_base_url.as_ref())) {
            return Ok(url);
        }
        let hint = if url.is_some_and(is_path) {
            "; for a path, set image_store.http.public_base_url"
        } else {
            ""
        };
        let found = describe(found.as_ref());
        Err(refused(format!("its answer has {found} at {place}, not a URL{hint}")))
    }

    fn body(&self) -> Result<&[u8], StoreFailure> {
        let too_long = || StoreFailure::Refused(format!("its answer is longer than {MAX_ANSWER} bytes"));
        self.body.as_deref().map(without_mark).ok_or_else(too_long)
    }
}

/// The URL for pages: `found` itself, or `base` and `found` if it is a path.
fn public_url(found: &str, base: Option<&Url>) -> Option<String> {
    if let Some((scheme, rest)) = found.split_once("://") {
        let url = format!("{}://{rest}", scheme.to_ascii_lowercase());
        return parse_http(&url).map(|_| url);
    }
    let base = base.filter(|_| is_path(found))?;
    let joined = [base.as_str().trim_end_matches('/'), found.trim_start_matches('/')].join("/");
    let url = parse_http(&joined)?;
    // Dot segments must lead neither out of the base nor to the base itself.
    let below = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
    (below.len() > 1 && below.starts_with('/')).then(|| url.into())
}

/// True if `text` can be a path: it has neither a scheme nor a host, and no markup or JSON characters.
fn is_path(text: &str) -> bool {
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let foreign = ['<', '>', '"', '{', '}', '|', '^', '`'];
    !text.is_empty() && !first.contains(':') && !text.starts_with("//") && !text.contains(foreign)
}

/// Describes a value of an answer for the log. Strings are not quoted, since they could be secrets.
fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value.to_string(),
        Some(Value::String(text)) if text.trim().is_empty() => "a blank string".to_owned(),
        Some(Value::String(_)) => "another string".to_owned(),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}

/// Fields in which services put a message for people.
const FIELDS: [&str; 4] = ["message", "msg", "errmsg", "error"];
/// The maximum number of characters of a message that are logged.
const MAX_SHOWN: usize = 200;
/// Shorter values may be ordinary words, and masking those would garble the message.
const MIN_SECRET: usize = 4;

/// Finds a service's message and removes our own secrets from it: a service may echo what it was sent.
pub(super) struct MessageReader {
    /// The longest come first, since one may be part of another.
    secrets: Vec<String>,
}

impl MessageReader {
    /// For the service in `settings`.
    pub(super) fn without_secrets_of(settings: &resolved::HttpStore) -> Self {
        let headers = settings.section.headers.values().map(Secret::expose);
        let fields = settings.section.fields.values().map(Secret::expose);
        let mut secrets = Vec::new();
        for value in headers.chain(fields) {
            // The key without the word before it, such as `Bearer`, is masked as well.
            let key = value.split_once(' ').map_or(value, |(_, key)| key);
            secrets.extend([value.to_owned(), key.to_owned()]);
        }
        secrets.extend(settings.url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| secret.len() >= MIN_SECRET);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// The message in `body` as the end of a sentence, or nothing if there is none.
    pub(super) fn of(&self, body: &[u8]) -> String {
        let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let texts = FIELDS.iter().filter_map(|field| json.get(field)?.as_str());
        let Some(text) = texts.map(str::trim).find(|text| !text.is_empty()) else {
            return String::new();
        };
        let masked = self
            .secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        // A query may contain a secret of the service.
        let words = masked.split(' ').map(|word| match word.split_once('?') {
            Some((url, _)) if url.contains("://") => format!("{url}?…"),
            _ => word.to_owned(),
        });
        let words = words.collect::<Vec<_>>().join(" ");
        let shortened: String = words.chars().take(MAX_SHOWN).collect();
        let more = if shortened.len() < words.len() { "…" } else { "" };
        format!("; it says: \"{}{more}\"", shortened.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::settings::HttpStore;

    #[test]
    fn message_is_shortened_and_has_no_secret_of_ours() {
        let section = HttpStore {
            headers: [("authorization".to_owned(), Secret::new("Bearer hunter2-hunter2"))].into(),
            fields: [("sign".to_owned(), Secret::new("field-secret"))].into(),
            ..Default::default()
        };
        let settings = resolved::HttpStore {
            url: Url::parse("http://files/up?key=in-the-query&v=2").unwrap(),
            headers: HeaderMap::new(),
            section,
        };
        let messages = MessageReader::without_secrets_of(&settings);
        let said = |body: &str| messages.of(body.as_bytes());
        assert_eq!(said(r#"{"msg":" 文件太大\n ","data":null}"#), "; it says: \"文件太大\"");
        let body = r#"{"message":"hunter2-hunter2, Bearer hunter2-hunter2, field-secret at http://a.cn/x?k=in-the-query v 2"}"#;
        assert_eq!(
            said(body),
            "; it says: \"********, ********, ******** at http://a.cn/x?… v 2\""
        );
        assert_eq!(
            said(r#"{"message":"a\u2028b\u0007\"c"}"#),
            r#"; it says: "a\u{2028}b\u{7}\"c""#
        );
        let long = format!(r#"{{"error":"{}"}}"#, "文".repeat(300));
        assert_eq!(said(&long), format!("; it says: \"{}…\"", "文".repeat(200)));
        for body in [
            "",
            "<html>message</html>",
            r#"{"message":{"a":1}}"#,
            r#"{"message":" "}"#,
            "[1]",
        ] {
            assert_eq!(said(body), "", "{body}");
        }
    }
}
