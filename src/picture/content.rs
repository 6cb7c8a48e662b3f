//! What came in a picture's place, recognised by its first bytes: for logs and error messages only.

use std::fmt;

use super::Kind;
use crate::byte_order_mark::without_mark;

/// What a file holds, as far as its first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A picture; of a kind that can be stored, or of another one.
    Picture(&'static str),
    /// A voice recording, or other sound.
    Voice(&'static str),
    /// A video.
    Video(&'static str),
    /// A web page.
    Page,
    /// Anything else.
    Other(&'static str),
}

/// Formats that begin with bytes of their own.
const MARKS: [(&[u8], Content); 19] = [
    (b"#!AMR-WB\n", Content::Voice("AMR-WB")),
    (b"#!AMR", Content::Voice("AMR")),
    (b"\x02#!SILK", Content::Voice("SILK")),
    (b"#!SILK", Content::Voice("SILK")),
    (b"OggS", Content::Voice("Ogg")),
    (b"ID3", Content::Voice("MP3")),
    (b"\xFF\xFB", Content::Voice("MP3")),
    (b"\xFF\xF3", Content::Voice("MP3")),
    (b"\x1A\x45\xDF\xA3", Content::Video("Matroska or WebM")),
    (b"FLV\x01", Content::Video("FLV")),
    (b"II*\0", Content::Picture("TIFF")),
    (b"MM\0*", Content::Picture("TIFF")),
    (b"\0\0\x01\0", Content::Picture("ICO")),
    (b"\x1F\x8B", Content::Other("gzip")),
    (b"PK\x03\x04", Content::Other("ZIP, or an Office document")),
    (b"Rar!", Content::Other("RAR")),
    (b"%PDF", Content::Other("PDF")),
    (b"\xD0\xCF\x11\xE0", Content::Other("Office document")),
    (b"MZ", Content::Other("Windows program")),
];

impl Content {
    /// What the file is that begins with `head`.
    pub fn of(head: &[u8]) -> Self {
        if let Some(kind) = Kind::sniff(head) {
            return Self::Picture(kind.name());
        }
        let mark = MARKS.iter().find(|(mark, _)| head.starts_with(mark));
        mark.map(|(_, content)| *content)
            .or_else(|| of_container(head))
            .unwrap_or_else(|| of_text(head))
    }

    /// The same. The `content_type`, in lower case, counts if the bytes say nothing: raw speex has no mark.
    pub fn with_type(head: &[u8], content_type: Option<&str>) -> Self {
        let content = Self::of(head);
        let media_type = content_type.unwrap_or_default();
        let is_sound = media_type.starts_with("voice/") || media_type.starts_with("audio/");
        match content {
            Self::Other(UNKNOWN) if media_type.starts_with("voice/speex") => Self::Voice("speex"),
            Self::Other(UNKNOWN) if is_sound => Self::Voice("unknown format"),
            content => content,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(name) | Self::Other(name) => f.write_str(name),
            Self::Voice(name) => write!(f, "voice ({name})"),
            Self::Video(name) => write!(f, "video ({name})"),
            Self::Page => f.write_str("HTML"),
        }
    }
}

const UNKNOWN: &str = "unknown bytes";

/// RIFF and ISO base media files, which name their content behind their length.
fn of_container(head: &[u8]) -> Option<Content> {
    match (head.get(..4)?, head.get(4..8)?, head.get(8..12)?) {
        (b"RIFF", _, b"WAVE") => Some(Content::Voice("WAV")),
        (b"RIFF", _, b"AVI ") => Some(Content::Video("AVI")),
        (_, b"ftyp", b"avif" | b"avis") => Some(Content::Picture("AVIF")),
        (_, b"ftyp", b"mif1" | b"msf1") => Some(Content::Picture("HEIF without HEVC")),
        (_, b"ftyp", b"M4A " | b"M4B ") => Some(Content::Voice("M4A")),
        (_, b"ftyp", b"qt  ") => Some(Content::Video("QuickTime")),
        (_, b"ftyp", _) => Some(Content::Video("MP4")),
        _ => None,
    }
}

fn of_text(head: &[u8]) -> Content {
    let text = without_mark(head).trim_ascii_start();
    let begins = |tag: &str| {
        let start = text.get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    };
    // Chinese texts may be in GB 18030, so bytes above ASCII are fine.
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    if ["<!doctype html", "<html", "<head", "<body", "<script", "<title"]
        .into_iter()
        .any(begins)
    {
        Content::Page
    } else if begins("<svg") {
        Content::Picture("SVG")
    } else if begins("<?xml") {
        Content::Other("XML")
    } else if text.is_empty() || !text.iter().all(is_text) {
        Content::Other(UNKNOWN)
    } else if matches!(text[0], b'{' | b'[') {
        Content::Other("JSON")
    } else {
        Content::Other("text")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_is_recognised_by_its_first_bytes() {
        for (head, content) in [
            (&b"#!AMR\n\x3C"[..], "voice (AMR)"),
            (b"#!AMR-WB\n", "voice (AMR-WB)"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "voice (WAV)"),
            (b"\0\0\0\x1Cftypavif\0\0\0\0", "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x14ftypqt  ", "video (QuickTime)"),
            (b"\0\0\0\x20ftypisom", "video (MP4)"),
            (b"\xEF\xBB\xBF <!DOCTYPE HTML>", "HTML"),
            (b"<svg xmlns=", "SVG"),
            (b" [1]", "JSON"),
            (b"\xC4\xE3\xBA\xC3", "text"),
            (b"", "unknown bytes"),
            (b"a\0b", "unknown bytes"),
        ] {
            assert_eq!(Content::of(head).to_string(), content, "{head:?}");
        }
        let speex = Content::with_type(b"\x36\x9D\x1B\0", Some("voice/speex"));
        assert_eq!(speex, Content::Voice("speex"));
        assert_eq!(
            Content::with_type(b"%PDF-1.7", Some("audio/amr")),
            Content::Other("PDF")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_name(head in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(!Content::of(&head).to_string().is_empty());
        }
    }
}
