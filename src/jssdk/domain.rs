//! The domains whose pages are signed.

use std::borrow::Cow;

use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Host;

use super::page_url::PageUrl;

/// One entry of an account's `js_domains`, as in WeChat's console (JS接口安全域名): `example.com` covers that host and all
/// its subdomains, `example.com/mp` only their pages under that path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsDomain {
    host: String,
    /// Empty, or `/` and at least one character, without a trailing slash.
    path: String,
}

impl JsDomain {
    /// True if `page` is under this domain.
    pub fn covers(&self, page: &PageUrl<'_>) -> bool {
        self.covers_host(page.host()) && self.covers_path(page.path())
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// True if `host` is this domain's, or below it.
    pub fn covers_host(&self, host: &str) -> bool {
        let at = host.len().checked_sub(self.host.len());
        let parts = at.and_then(|at| host.split_at_checked(at));
        parts.is_some_and(|(below, host)| {
            host.eq_ignore_ascii_case(&self.host) && (below.is_empty() || below.ends_with('.'))
        })
    }

    fn covers_path(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl TryFrom<String> for JsDomain {
    type Error = Cow<'static, str>;

    fn try_from(entry: String) -> Result<Self, Self::Error> {
        if entry.contains("://") {
            return Err("expected a domain without a scheme, such as \"example.com\" or \"example.com/mp\"".into());
        }
        let (host, path) = entry.split_at(entry.find('/').unwrap_or(entry.len()));
        if host.contains(':') {
            return Err("expected a domain without a port, such as \"example.com\" or \"example.com/mp\"".into());
        }
        if let Some(ascii) = ascii_form(host, path) {
            return Err(format!("expected {ascii:?}: pages' URLs, which are compared with it, are in ASCII").into());
        }
        let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let plain_path = path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'*'));
        if !host.split('.').all(label) || !plain_path {
            return Err("expected a domain such as \"example.com\", or with a path such as \"example.com/mp\"".into());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// The ASCII form of a domain, as browsers write it: the host in its `xn--` form, and the path percent-encoded. `None`
/// if the domain is in ASCII, or has no such form.
fn ascii_form(host: &str, path: &str) -> Option<String> {
    if host.is_ascii() && path.is_ascii() {
        return None;
    }
    let Ok(Host::Domain(host)) = Host::parse(host) else {
        return None;
    };
    let ascii = format!("{host}{}", utf8_percent_encode(path, CONTROLS));
    JsDomain::try_from(ascii.clone()).is_ok().then_some(ascii)
}

impl From<JsDomain> for String {
    fn from(domain: JsDomain) -> Self {
        format!("{}{}", domain.host, domain.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn domain_covers_its_host_all_subdomains_and_pages_under_its_path() {
        for (entry, url, is_covered) in [
            ("example.com", "http://example.com", true),
            ("example.com", "https://example.com:8443/a", true),
            ("example.com", "https://m.Example.COM/?x", true),
            ("example.com", "https://a.b.example.com/", true),
            ("example.com", "https://notexample.com/", false),
            ("example.com", "https://example.com.evil.cn/", false),
            ("example.com", "https://example.com@evil.cn/", false),
            ("example.com", "https://com/", false),
            ("example.com/mp", "https://example.com/mp", true),
            ("example.com/mp", "https://example.com/mp/", true),
            ("example.com/mp", "https://m.example.com/mp/a?b", true),
            ("example.com/mp", "https://example.com/mp?x=1", true),
            ("example.com/h5:2026", "https://example.com/h5:2026/a", true),
            ("example.com/mp", "https://example.com/", false),
            ("example.com/mp", "https://example.com/mpx", false),
            ("example.com/mp", "https://example.com/a/mp", false),
            ("example.com/mp", "https://example.com?/mp", false),
        ] {
            // A slash at the end makes no difference.
            for entry in [entry.to_owned(), format!("{entry}/")] {
                let domain = JsDomain::try_from(entry).unwrap();
                let page = PageUrl::parse(url).unwrap();
                assert_eq!(domain.covers(&page), is_covered, "{domain:?} {url}");
            }
        }
    }

    #[test]
    fn malformed_entries_are_refused() {
        for entry in [
            "https://example.com",
            "example.com:443",
            "*.example.com",
            "",
            ".example.com",
            "a b.cn",
            "a.cn/x?y",
        ] {
            assert!(JsDomain::try_from(entry.to_owned()).is_err(), "{entry}");
        }
    }

    #[test]
    fn unicode_entry_is_refused_with_its_ascii_form() {
        let problem = |entry: &str| JsDomain::try_from(entry.to_owned()).unwrap_err();
        for (entry, ascii) in [
            ("例子.cn", "xn--fsqu00a.cn"),
            ("h5.例子.中国/mp", "h5.xn--fsqu00a.xn--fiqs8s/mp"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("例子。cn", "xn--fsqu00a.cn"),
            ("example.com/活动", "example.com/%E6%B4%BB%E5%8A%A8"),
        ] {
            let problem = problem(entry);
            assert!(problem.starts_with(&format!("expected \"{ascii}\"")), "{problem}");
            assert!(JsDomain::try_from(ascii.to_owned()).is_ok(), "{ascii}");
        }
        assert!(problem("例 子.cn").contains("such as \"example.com\""));
        assert!(problem("https://例子.cn").contains("without a scheme"));
    }

    proptest! {
        #[test]
        fn domain_covers_only_its_host_and_subdomains(
            domain in "[a-c]{1,2}\\.[a-c]{1,2}", before in "([a-c]{0,2}[.@-]?){0,3}", after in "[.a-c:@0-9]{0,3}",
        ) {
            let url = format!("https://{before}{domain}{after}/x");
            let Ok(page) = PageUrl::parse(&url) else { return Ok(()) };
            let below = page.host() == domain || page.host().ends_with(&format!(".{domain}"));
            prop_assert_eq!(JsDomain::try_from(domain).unwrap().covers(&page), below, "{}", url);
        }
    }
}
