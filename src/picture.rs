//! The kinds of picture that wxgate stores, recognised by their first bytes, and what WeChat may send instead.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::byte_order_mark::without_mark;

/// Defines [`PictureKind`], one row per kind: its media type, which is also its name in the settings, the extension of
/// names in the store, and its name for people.
macro_rules! kinds {
    ($($kind:ident: $media_type:literal, $extension:literal, $name:literal;)+) => {
        /// A kind of picture.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum PictureKind {
            $(
                #[doc = $name]
                #[serde(rename = $media_type)]
                $kind,
            )+
        }

        impl PictureKind {
            /// Every kind, in the order of `media.allowed_types`.
            pub const ALL: [PictureKind; [$(PictureKind::$kind),+].len()] = [$(PictureKind::$kind),+];

            /// The media type.
            pub fn media_type(self) -> &'static str {
                match self {
                    $(PictureKind::$kind => $media_type,)+
                }
            }

            /// The extension of names in the store, without the dot.
            pub fn extension(self) -> &'static str {
                match self {
                    $(PictureKind::$kind => $extension,)+
                }
            }

            /// The name, for people.
            fn name(self) -> &'static str {
                match self {
                    $(PictureKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    Jpeg: "image/jpeg", "jpg", "JPEG";
    Png: "image/png", "png", "PNG";
    Gif: "image/gif", "gif", "GIF";
    WebP: "image/webp", "webp", "WebP";
    Bmp: "image/bmp", "bmp", "BMP";
    Heic: "image/heic", "heic", "HEIC";
}

impl PictureKind {
    /// How many bytes [`PictureKind::sniff`] needs, unless the picture is shorter.
    pub const HEAD: usize = 64;

    /// The kind of picture that begins with `head`; `None` if it is none of these.
    ///
    /// Our own code, because crates for this check only magic numbers, and accept any text that begins with `BM` or `GIF`
    /// as a picture.
    pub fn sniff(head: &[u8]) -> Option<PictureKind> {
        match head {
            [0xFF, 0xD8, 0xFF, ..] => Some(PictureKind::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(PictureKind::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(PictureKind::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(PictureKind::WebP),
            [b'B', b'M', ..] => is_bmp(head).then_some(PictureKind::Bmp),
            _ => is_heic(head).then_some(PictureKind::Heic),
        }
    }
}

/// Checks a BMP beyond its magic number: four reserved zero bytes after the file size, and an existing header size.
fn is_bmp(head: &[u8]) -> bool {
    let header_size = head.get(14..18);
    head.get(6..10) == Some(&[0; 4]) && matches!(header_size, Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// The maximum length of an `ftyp` box: real ones list only a few brands. In a text, the four bytes before `ftyp` would
/// mean a far greater length.
const MAX_FTYP: usize = 512;

/// An ISO base media file whose `ftyp` box has an HEVC image brand (ISO/IEC 23008-12): as its major brand, or
/// among the compatible ones if the major brand is the neutral `mif1` or `msf1`.
fn is_heic(head: &[u8]) -> bool {
    const HEVC: [&[u8]; 6] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"];
    let (Some(size), Some(b"ftyp"), Some(major)) = (head.first_chunk(), head.get(4..8), head.get(8..12)) else {
        return false;
    };
    let size = u32::from_be_bytes(*size) as usize;
    if !(12..=MAX_FTYP).contains(&size) {
        return false;
    }
    let compatible = head.get(16..size.min(head.len())).unwrap_or_default();
    HEVC.contains(&major)
        || (matches!(major, b"mif1" | b"msf1") && compatible.chunks_exact(4).any(|brand| HEVC.contains(&brand)))
}

/// What a file contains, as far as its first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A picture, of a kind that can be stored or another one.
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

/// Formats with a magic number: those that WeChat accepts as media, and those that proxies answer instead.
const MAGIC_NUMBERS: [(&[u8], Content); 11] = [
    (b"#!AMR-WB\n", Content::Voice("AMR-WB")),
    (b"#!AMR", Content::Voice("AMR")),
    (b"\x02#!SILK", Content::Voice("SILK")),
    (b"#!SILK", Content::Voice("SILK")),
    (b"OggS", Content::Voice("Ogg")),
    (b"ID3", Content::Voice("MP3")),
    (b"\xFF\xFB", Content::Voice("MP3")),
    (b"\xFF\xF3", Content::Voice("MP3")),
    (b"\x1A\x45\xDF\xA3", Content::Video("Matroska or WebM")),
    (b"\x1F\x8B", Content::Other("gzip")),
    (b"%PDF", Content::Other("PDF")),
];

impl Content {
    /// The content of a file that begins with `head`.
    pub fn of(head: &[u8]) -> Self {
        if let Some(kind) = PictureKind::sniff(head) {
            return Self::Picture(kind.name());
        }
        let known = MAGIC_NUMBERS.iter().find(|(magic, _)| head.starts_with(magic));
        known
            .map(|(_, content)| *content)
            .or_else(|| of_container(head))
            .unwrap_or_else(|| of_text(head))
    }

    /// Like [`Content::of`], with `content_type` (in lower case) as a fallback: raw speex has no magic number.
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

/// RIFF and ISO base media files, which name their content after their length.
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
    fn text_with_ftyp_in_it_is_not_a_picture() {
        // Found by a fuzzer.
        assert_eq!(PictureKind::sniff(b"[\0\0\x18ftypmif1\0ypmi\0\0\0heic"), None);
        assert_eq!(PictureKind::sniff(b"<!--ftypheic--><script>"), None);
        assert_eq!(
            PictureKind::sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"),
            Some(PictureKind::Heic)
        );
    }

    proptest! {
        #[test]
        fn an_error_or_a_page_is_no_picture(first in "[{<\\[ \\n]", rest in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(PictureKind::sniff(&[first.as_bytes(), &rest].concat()), None);
        }
    }
}
