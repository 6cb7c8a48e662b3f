//! The names of media files.

use std::fmt;

/// A media id as WeChat gives it: 1 to 512 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaId(String);

impl MediaId {
    /// The longest that is accepted. Ids seen have 63 or 64 characters.
    pub const MAX_LEN: usize = 512;

    /// Parses `text`; `None` if it can't be a media id.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(allowed);
        fine.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first characters, enough to find it by.
    pub fn start(&self) -> &str {
        const LENGTH: usize = 12;
        // All of its characters are one byte long.
        self.0.get(..LENGTH).unwrap_or(&self.0)
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn media_id_is_kept_unchanged_or_refused(text in "[A-Za-z0-9_-]{0,70}|\\PC{0,8}|[a-z]{510,514}") {
            let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            let id = MediaId::parse(&text);
            prop_assert_eq!(id.is_some(), allowed && (1..=512).contains(&text.len()));
            if let Some(id) = id {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
