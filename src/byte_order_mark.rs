//! The mark with which some programs begin a text in UTF-8 (U+FEFF). JSON has none (RFC 8259, section 8.1), and is sent
//! with one all the same.

/// `text` without the mark at its beginning, if there is one.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
