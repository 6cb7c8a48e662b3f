//! The byte order mark (U+FEFF) that some programs put before a UTF-8 text. JSON must not have one (RFC 8259, section
//! 8.1), but some senders write it.

/// `text` without a leading byte order mark.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
