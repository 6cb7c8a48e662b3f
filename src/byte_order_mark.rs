//! The byte order mark (U+FEFF) with which some programs begin a text in UTF-8. JSON must not have one (RFC 8259,
//! section 8.1), but some senders write it.

/// `text` without a byte order mark at its beginning.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
