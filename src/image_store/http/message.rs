//! What an upload service says about a failure, fit for the log.

use serde_json::Value;

use crate::secret::{MASK, Secret};
use crate::settings::resolved;

/// Where services put a message for people.
const FIELDS: [&str; 4] = ["message", "msg", "errmsg", "error"];
/// How much of it is logged, in characters.
const LONGEST: usize = 200;
/// Shorter values are ordinary words, and masking them would garble the message.
const SHORTEST_SECRET: usize = 4;

/// Finds a service's message and keeps our own secrets out of it: a service may repeat what it was sent.
pub(super) struct MessageReader {
    /// The longest first, since one may be a part of another.
    secrets: Vec<String>,
}

impl MessageReader {
    /// For the service in `settings`.
    pub(super) fn without_secrets_of(settings: &resolved::HttpStore) -> Self {
        let headers = settings.section.headers.values().map(Secret::expose);
        let fields = settings.section.fields.values().map(Secret::expose);
        let mut secrets = Vec::new();
        for value in headers.chain(fields) {
            // Without the word before it as well: `Bearer`.
            let key = value.split_once(' ').map_or(value, |(_, key)| key);
            secrets.extend([value.to_owned(), key.to_owned()]);
        }
        secrets.extend(settings.url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
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
        // A query may hold a key of the service's own.
        let words = masked.split(' ').map(|word| match word.split_once('?') {
            Some((url, _)) if url.contains("://") => format!("{url}?…"),
            _ => word.to_owned(),
        });
        let words = words.collect::<Vec<_>>().join(" ");
        let shortened: String = words.chars().take(LONGEST).collect();
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
            url: Some(Url::parse("http://files/up?key=in-the-query&v=2").unwrap()),
            headers: [("authorization".to_owned(), Secret::new("Bearer hunter2-hunter2"))].into(),
            fields: [("sign".to_owned(), Secret::new("field-secret"))].into(),
            ..Default::default()
        };
        let messages = MessageReader::without_secrets_of(&section.resolve().unwrap());
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
