//! A log line may contain what a caller or another system has sent. Such text is shortened, and escaped so that it can't
//! forge other lines.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write};

use serde_json::Value;
use tracing::field::Field;
use tracing_subscriber::fmt::format::Writer;

/// The maximum number of characters of a field that are logged.
const MAX_FIELD: usize = 500;
/// Ends a shortened field.
const CUT: char = '…';

/// Writes a field of a line of text.
pub(super) fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let name = field.name();
    // The origin of an event from the `log` crate.
    if name.starts_with("log.") {
        return Ok(());
    }
    if name != "message" {
        write!(writer, "{name}=")?;
    }
    let mut text = Shortened {
        writer,
        left: MAX_FIELD,
    };
    // Fails at the limit.
    let _ = write!(text, "{value:?}");
    Ok(())
}

/// Forwards `left` characters, and then fails.
struct Shortened<'a, 'w> {
    writer: &'a mut Writer<'w>,
    left: usize,
}

impl Write for Shortened<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                self.writer.write_char(CUT)?;
                return Err(fmt::Error);
            }
            self.left -= 1;
            if is_harmful(c) {
                write!(self.writer, "{}", c.escape_default())?;
            } else {
                self.writer.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// True if `c` ends a line, moves the cursor, or changes the order of what follows.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shortens and escapes a line of JSON, which ends with a line break.
pub(super) fn json_line(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut text = Cow::Borrowed(text.trim_end());
    if text.len() > MAX_FIELD
        && let Ok(mut value) = serde_json::from_str(&text)
    {
        shorten(&mut value);
        text = Cow::Owned(value.to_string());
    }
    let mut harmless = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if is_harmful(c) {
            // All of these characters are below U+10000, so one escape is enough.
            let _ = write!(harmless, "\\u{:04x}", u32::from(c));
        } else {
            harmless.push(c);
        }
    }
    harmless.push('\n');
    harmless
}

/// Shortens all strings in `value`.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(MAX_FIELD) {
                text.truncate(end);
                text.push(CUT);
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::field::MakeExt;
    use tracing_subscriber::fmt::format::debug_fn;

    use super::*;

    const FORGED: &str = "\u{1b}[1A\u{202e}gpj.exe\u{2028}INFO all is well\r\nINFO forged \u{2066}x";

    /// What a subscriber has written.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn field_of_a_text_line_is_cut_and_harmless() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let long = "長".repeat(MAX_FIELD + 1);
            tracing::info!(long = %long, who = %FORGED, last = 7, "message {FORGED}");
        });
        let line = written.text();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.trim_end().contains(is_harmful), "{line}");
        assert!(line.contains("\\u{202e}gpj.exe\\u{2028}INFO"), "{line}");
        assert!(line.contains(&format!("{}… ", "長".repeat(MAX_FIELD))), "{line}");
        assert!(line.trim_end().ends_with("last=7"), "{line}");
    }

    #[test]
    fn field_of_a_json_line_is_cut_and_harmless() {
        for length in [1, MAX_FIELD, MAX_FIELD + 1] {
            let fields = serde_json::json!({ "message": FORGED, "span": { "long": "長".repeat(length) }, "ms": 7 });
            let line = json_line(format!("{fields}\n").as_bytes());
            assert!(!line.trim_end().contains(is_harmful), "{line}");
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&read["message"], &read["ms"]), (&FORGED.into(), &7.into()));
            let cut = if length > MAX_FIELD { "…" } else { "" };
            assert_eq!(
                read["span"]["long"],
                format!("{}{cut}", "長".repeat(length.min(MAX_FIELD)))
            );
        }
        assert_eq!(json_line(b"{\"message\":\"short\"}\n"), "{\"message\":\"short\"}\n");
    }
}
