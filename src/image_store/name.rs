//! Names of pictures.

use crate::picture::PictureKind;

/// A picture's name: 32 lower-case hex digits (128 random bits, so it can't be guessed) and the extension of its kind. It
/// contains no input, so it needs no escaping in a path, a URL or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    text: String,
    kind: PictureKind,
}

impl ImageName {
    const DIGITS: usize = 32;

    /// A new name for a picture of `kind`.
    pub fn random(kind: PictureKind) -> Self {
        let digits = hex::encode(rand::random::<[u8; Self::DIGITS / 2]>());
        let text = [&digits, ".", kind.extension()].concat();
        Self { text, kind }
    }

    /// Parses `text`; `None` if [`ImageName::random`] can't have made it.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, rest) = text.split_at_checked(Self::DIGITS)?;
        let extension = rest.strip_prefix('.')?;
        let hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let kind = PictureKind::ALL
            .into_iter()
            .find(|kind| kind.extension() == extension)?;
        let text = text.to_owned();
        hex.then_some(Self { text, kind })
    }

    /// The name at the end of `text`, which may be a URL.
    pub fn at_end_of(text: &str) -> Option<Self> {
        let start = text.rfind('.')?.checked_sub(Self::DIGITS)?;
        Self::parse(text.get(start..)?)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The kind of the picture.
    pub fn kind(&self) -> PictureKind {
        self.kind
    }
}
