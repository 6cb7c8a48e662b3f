//! The path under which a proxy publishes a listener.

text! {
    /// A path such as `/wxgate`, with a leading slash and no trailing one; or empty.
    #[derive(Default)]
    pub struct BasePath: |text| text.is_empty() || text.starts_with('/') && is_plain_path(text),
    "expected a path such as \"/wxgate\" (a slash first and none last; letters, digits, `-`, `_`, `.`, `~`), or \"\" for none"
}

impl BasePath {
    /// The rest of `path` after it, with a leading slash; `None` if `path` is not below it.
    pub fn rest_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.0)?;
        (!self.0.is_empty() && rest.starts_with('/')).then_some(rest)
    }
}

/// Whether each segment of `path` is plain: the path becomes a route, so it must not contain anything that a router or a
/// browser interprets.
pub(crate) fn is_plain_path(path: &str) -> bool {
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
