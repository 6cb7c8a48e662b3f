//! Searches texts for secrets in every encoding.

use crate::support::{Answer, Ran};

/// A secret and its encodings.
pub(super) struct Secret {
    name: String,
    pub(super) forms: Vec<String>,
}

impl Secret {
    pub(super) fn new(name: &str, value: &str) -> Self {
        let bytes = value.as_bytes();
        let escaped = |all: bool, digits: fn(u8) -> String| -> String {
            let plain = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
            let each = bytes.iter().map(|&byte| {
                if plain(byte) {
                    char::from(byte).to_string()
                } else {
                    digits(byte)
                }
            });
            each.collect()
        };
        let mut forms = vec![
            value.to_owned(),
            escaped(false, |byte| format!("%{byte:02X}")),
            escaped(false, |byte| format!("%{byte:02x}")),
            escaped(true, |byte| format!("{byte:02x}")),
            escaped(true, |byte| format!("{byte:02X}")),
            serde_json::to_string(value).unwrap().trim_matches('"').to_owned(),
        ];
        forms.extend((0..3).flat_map(|before| base64_inside(bytes, before)));
        Self {
            name: name.to_owned(),
            forms,
        }
    }

    /// The places in `text` that contain it.
    fn found_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        let at = self.forms.iter().find_map(|form| text.find(form.as_str()))?;
        let start = text[..at].char_indices().rev().nth(60).map_or(0, |(start, _)| start);
        let end = text[at..]
            .char_indices()
            .nth(60)
            .map_or(text.len(), |(end, _)| at + end);
        Some(&text[start..end])
    }
}

/// The part of the base64 of `bytes` that does not depend on what is around them, if `before` (modulo 3) bytes precede
/// them; in both alphabets.
fn base64_inside(bytes: &[u8], before: usize) -> [String; 2] {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
    let whole = padded.len() * 8 / 6;
    let first = (before * 8).div_ceil(6);
    let digit = |at: usize| {
        let bit = at * 6;
        let [high, low] = [bit / 8, bit / 8 + 1].map(|at| u16::from(padded.get(at).copied().unwrap_or(0)));
        usize::from(((high << 8 | low) >> (10 - bit % 8)) & 63)
    };
    ["+/", "-_"].map(|more| {
        let alphabet = [LETTERS, more.as_bytes()].concat();
        (first..whole).map(|at| char::from(alphabet[digit(at)])).collect()
    })
}

/// Everything that was seen, by what it was.
#[derive(Default)]
pub(super) struct Seen(Vec<(String, String)>);

impl Seen {
    pub(super) fn note(&mut self, what: impl Into<String>, text: impl Into<String>) {
        let text = text.into();
        if !self.0.iter().any(|(_, seen)| *seen == text) {
            self.0.push((what.into(), text));
        }
    }

    pub(super) fn answer(&mut self, what: &str, answer: &Answer) {
        self.note(what, format!("{:?}\n{}", answer.headers, answer.body));
        if let Some(text) = answer.body.as_str() {
            self.note(what, text);
        }
    }

    pub(super) fn ran(&mut self, what: &str, ran: &Ran) {
        self.note(format!("{what}, printed"), ran.out.clone());
        self.note(format!("{what}, on stderr"), ran.err.clone());
    }

    /// Every leak, a line each.
    pub(super) fn leaks(&self, secrets: &[Secret]) -> Vec<String> {
        let mut leaks = Vec::new();
        for (what, text) in &self.0 {
            for secret in secrets {
                let found = secret.found_in(text);
                leaks.extend(found.map(|place| format!("{} in {what}: …{place}…", secret.name)));
            }
        }
        leaks
    }
}

#[test]
fn search_finds_secrets_in_every_encoding() {
    let secrets = [Secret::new("it", "s3+cr/et=5&7f3a")];
    let leaks = |text: &str| {
        let mut seen = Seen::default();
        seen.note("a line", text);
        seen.leaks(&secrets).len()
    };
    for text in [
        "secret=s3+cr/et=5&7f3a",
        "secret=s3%2Bcr%2Fet%3D5%267f3a&x",
        "secret=s3%2bcr%2fet%3d5%267f3a&x",
        "73332b63722f65743d35263766336122",
        "73332B63722F65743D352637663361",
        // As the user's name and the password of Basic authentication, at three places.
        "czMrY3IvZXQ9NSY3ZjNh",
        "YTpzMytjci9ldD01JjdmM2E=",
        "YWI6czMrY3IvZXQ9NSY3ZjNh",
        "dXNlcjpzMytjci9ldD01JjdmM2E6eA",
    ] {
        assert_eq!(leaks(text), 1, "{text}");
    }
    assert_eq!(leaks("s3+cr/et=5&7f3b czMrY3IvZXQ"), 0);
}
