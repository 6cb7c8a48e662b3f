//! The kinds of picture that wxgate stores, recognised by their first bytes, and what else may come in their place.

mod content;

use serde::{Deserialize, Serialize};

pub use content::Content;

/// Defines [`Kind`], a row per kind: its media type, which is also its name in the settings, the extension of names in
/// the store, and its name for people.
macro_rules! kinds {
    ($($kind:ident: $media_type:literal, $extension:literal, $name:literal;)+) => {
        /// A kind of picture.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(
                #[doc = $name]
                #[serde(rename = $media_type)]
                $kind,
            )+
        }

        impl Kind {
            /// Every kind, in the order of `media.allowed_types`.
            pub const ALL: [Kind; [$(Kind::$kind),+].len()] = [$(Kind::$kind),+];

            /// The media type.
            pub fn media_type(self) -> &'static str {
                match self {
                    $(Kind::$kind => $media_type,)+
                }
            }

            /// The extension of names in the store, without the dot.
            pub fn extension(self) -> &'static str {
                match self {
                    $(Kind::$kind => $extension,)+
                }
            }

            /// The name, for people.
            fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
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

impl Kind {
    /// How many bytes [`Kind::sniff`] needs, unless the picture is shorter.
    pub const HEAD: usize = 64;

    /// The kind of picture that begins with `head`; `None` if it is none of these.
    ///
    /// Our own code, because the crates for this look at magic numbers only: for them any text that begins
    /// with `BM` or `GIF` is a picture.
    pub fn sniff(head: &[u8]) -> Option<Kind> {
        match head {
            [0xFF, 0xD8, 0xFF, ..] => Some(Kind::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Kind::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Kind::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::WebP),
            [b'B', b'M', ..] => is_bmp(head).then_some(Kind::Bmp),
            _ => is_heic(head).then_some(Kind::Heic),
        }
    }
}

/// A BMP after its mark: four reserved zero bytes behind the file size, and a header size that exists.
fn is_bmp(head: &[u8]) -> bool {
    let header_size = head.get(14..18);
    head.get(6..10) == Some(&[0; 4]) && matches!(header_size, Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// The longest `ftyp` box that is accepted: real ones list a handful of brands. In a text, the four bytes
/// before `ftyp` would be a far greater length.
const LARGEST_FTYP: usize = 512;

/// An ISO base media file whose `ftyp` box has an HEVC image brand (ISO/IEC 23008-12): as its major brand, or
/// among the compatible ones if the major brand is the neutral `mif1` or `msf1`.
fn is_heic(head: &[u8]) -> bool {
    const HEVC: [&[u8]; 6] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"];
    let Some((size, b"ftyp")) = head
        .split_first_chunk::<4>()
        .and_then(|(size, rest)| Some((size, rest.get(..4)?)))
    else {
        return false;
    };
    let size = u32::from_be_bytes(*size) as usize;
    let end = size.min(head.len());
    let Some(major) = head.get(8..12).filter(|_| (12..=LARGEST_FTYP).contains(&size)) else {
        return false;
    };
    let compatible = || head.get(16..end).unwrap_or_default().chunks_exact(4);
    HEVC.contains(&major) || (matches!(major, b"mif1" | b"msf1") && compatible().any(|brand| HEVC.contains(&brand)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_with_ftyp_in_it_is_not_a_picture() {
        // Found by a fuzzer.
        assert_eq!(Kind::sniff(b"[\0\0\x18ftypmif1\0ypmi\0\0\0heic"), None);
        assert_eq!(Kind::sniff(b"<!--ftypheic--><script>"), None);
        assert_eq!(Kind::sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"), Some(Kind::Heic));
    }

    proptest! {
        #[test]
        fn an_error_or_a_page_is_no_picture(first in "[{<\\[ \\n]", rest in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Kind::sniff(&[first.as_bytes(), &rest].concat()), None);
        }

        #[test]
        fn head_is_enough_to_recognise_the_kind(
            start in prop::sample::select(vec![&b""[..], b"\xFF\xD8\xFF", b"GIF89a", b"BM", b"\0\0\0\x18ftypmif1", b"RIFF1234WEBP"]),
            rest in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let picture = [start, &rest].concat();
            let head = &picture[..picture.len().min(Kind::HEAD)];
            if let Some(kind) = Kind::sniff(head) {
                prop_assert_eq!(Kind::sniff(&picture), Some(kind));
            }
        }
    }
}
