//! The path under which a proxy publishes a listener.

use serde::{Deserialize, Serialize};

/// A path such as `/wxgate`, with a slash at its beginning and none at its end; or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BasePath(String);

impl BasePath {
    /// The path; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows it in `path`, beginning with a slash; `None` if `path` is not below it.
    #[must_use]
    pub fn rest_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.0)?;
        (!self.0.is_empty() && rest.starts_with('/')).then_some(rest)
    }
}

impl TryFrom<String> for BasePath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.starts_with('/') && is_plain_path(&text) {
            return Ok(Self(text));
        }
        Err(
            "expected a path such as \"/wxgate\" (a slash first and none last; letters, digits, `-`, `_`, `.`, `~`), or \"\" for \
             none",
        )
    }
}

/// Whether each segment of `path` is plain: the path becomes a route, so it may hold nothing that a router or a browser
/// interprets.
pub(super) fn is_plain_path(path: &str) -> bool {
    let plain = |segment: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        segment.bytes().all(allowed) && !matches!(segment, "" | "." | "..")
    };
    path.split('/').skip(1).all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_of_a_path_is_what_follows_the_base_path() {
        let base = BasePath::try_from("/wx".to_owned()).unwrap();
        assert_eq!(base.rest_of("/wx/docs/?a=/wx/"), Some("/docs/?a=/wx/"));
        assert_eq!(base.rest_of("/wx/"), Some("/"));
        for path in ["/wx", "/wx?a", "/wxgate/docs", "/docs", "/"] {
            assert_eq!(base.rest_of(path), None, "{path}");
        }
        assert_eq!(BasePath::default().rest_of("/docs"), None);
    }
}
