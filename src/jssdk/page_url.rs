//! The URL of the page to sign, exactly as in the browser.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::words::Words;

/// A page's URL: absolute, `http` or `https`, with a host and without a fragment. Otherwise it is byte for byte what the
/// page sent, because WeChat checks the signature of exactly that: nothing is normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageUrl<'a> {
    text: &'a str,
    host: &'a str,
    path: &'a str,
}

/// Why a page's URL can't be signed as sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It is missing or blank. The text is the Java service's, which pages may show.
    #[error("url不能為空")]
    Missing,
    /// It was sent more than once.
    #[error("url is given more than once")]
    Repeated,
    /// It is longer than [`PageUrl::MAX_LEN`].
    #[error("url is longer than 8192 bytes")]
    TooLong,
    /// It is not an absolute URL.
    #[error("url must be absolute: http:// or https:// and a host, e.g. https://h5.example.com/page?a=1")]
    NotAbsolute,
    /// It was percent-encoded more than once.
    #[error("url is encoded twice or more: call encodeURIComponent(location.href.split('#')[0]) exactly once")]
    EncodedTooOften,
    /// It contains bytes that occur in no browser's `location.href`.
    #[error("url has bytes that can't occur in a page's URL: send encodeURIComponent(location.href.split('#')[0])")]
    NotAPageUrl,
    /// It was sent unencoded, so that part of its query became parameters of the request.
    #[error(
        "url was sent unencoded, so its parameter \"{0}\" would be lost: send encodeURIComponent(location.href.split('#')[0])"
    )]
    Spilled(String),
}

impl<'a> PageUrl<'a> {
    /// The maximum length of a URL, in bytes.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Parses `text`, already decoded once, as a page's URL. Everything from the first `#` on is dropped.
    pub fn parse(text: &'a str) -> Result<Self, UrlProblem> {
        if text.trim().is_empty() {
            return Err(UrlProblem::Missing);
        }
        if text.len() > Self::MAX_LEN {
            return Err(UrlProblem::TooLong);
        }
        let text = text.split('#').next().unwrap_or_default();
        let after_scheme = after_scheme(text).ok_or(UrlProblem::NotAbsolute)?;
        let Some(rest) = after_scheme.strip_prefix("://") else {
            // Already decoded once, and still `https%3A…` or `https:%2F…`.
            let is_encoded = after_scheme.strip_prefix(':').unwrap_or(after_scheme).starts_with('%');
            return Err(if is_encoded {
                UrlProblem::EncodedTooOften
            } else {
                UrlProblem::NotAbsolute
            });
        };
        // `fold` rather than `any`: without early exit it is vectorised. This is half of the function's time.
        if text.bytes().fold(false, |odd, b| odd | b.is_ascii_control()) {
            return Err(UrlProblem::NotAPageUrl);
        }
        let authority = rest.bytes().position(|b| matches!(b, b'/' | b'?'));
        let (authority, tail) = rest.split_at(authority.unwrap_or(rest.len()));
        let host = host_of(authority).ok_or(UrlProblem::NotAbsolute)?;
        let path = tail.split('?').next().unwrap_or_default();
        Ok(Self { text, host, path })
    }

    /// The URL as it is signed.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The host, without user and port.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The path; empty if the URL has none.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// Why WeChat will refuse this URL's signature, if it will. The URL is signed byte for byte as sent, but WeChat
    /// checks the signature against the URL that is open, in which browsers have encoded these characters.
    pub fn warning(&self) -> Option<Words> {
        let has_raw = !self.text.is_ascii() || self.text.contains([' ', '"', '<', '>']);
        has_raw.then_some(NEVER_IN_A_BROWSER)
    }
}

const NEVER_IN_A_BROWSER: Words = Words {
    en: "WeChat will refuse this URL's signature, since location.href never has a host in Unicode (it is xn-- there), raw \
         non-ASCII characters, a space, or \", < or >: the URL was decoded once too often, or sent without \
         encodeURIComponent(location.href.split('#')[0])",
    zh: "微信会拒绝这个 URL 的签名：location.href 里不会有 Unicode 形式的域名（应为 xn-- 形式）、未转义的非 ASCII 字符、空格、\
         双引号、< 或 >。URL 多解码了一次，或没有经过 encodeURIComponent(location.href.split('#')[0])",
};

/// What follows `https` or `http`.
fn after_scheme(text: &str) -> Option<&str> {
    ["https", "http"].into_iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// The host in `authority`, which is `[user@]host[:port]`; `None` if it is malformed. A backslash is malformed, because
/// browsers treat it as a slash and would open another host.
fn host_of(authority: &str) -> Option<&str> {
    let host_port = authority.rsplit('@').next()?;
    let (host, port) = match host_port.rsplit_once(':') {
        Some(host_and_port) if !host_port.ends_with(']') => host_and_port,
        _ => (host_port, ""),
    };
    let name = |h: &str| {
        !h.is_empty()
            && h.bytes()
                .all(|b| !b.is_ascii() || b.is_ascii_alphanumeric() || b"-._~%".contains(&b))
    };
    let ip6 = |h: &str| {
        h.strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let fine = (name(host) || ip6(host)) && port.bytes().all(|b| b.is_ascii_digit()) && !authority.contains('\\');
    fine.then_some(host)
}

/// What the signing route reads from its query string: `url` and `appId`, percent-decoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryParams<'a> {
    /// The page's URL as sent, decoded, not yet parsed.
    pub url: Cow<'a, str>,
    /// The requested account, decoded.
    pub app_id: Option<Cow<'a, str>>,
    /// True if `url` was sent unencoded, so that `app_id` may be a parameter of the page.
    pub is_app_id_doubtful: bool,
}

impl<'a> QueryParams<'a> {
    /// Parses `query`, the raw query string without its `?`.
    ///
    /// A `+` stays a `+`. If a page forgets `encodeURIComponent`, `url` has a literal `?`, and what follows its first `&`
    /// arrives as parameters of this request. WeChat would refuse a signature of the truncated URL, so this is an error
    /// that names the first lost parameter. Extra parameters next to an encoded `url` (cache busters) are ignored.
    pub fn parse(query: &'a str) -> Result<Self, UrlProblem> {
        let mut url = None;
        let mut app_id = None;
        let mut is_app_id_doubtful = false;
        let mut spilling = false;
        for piece in query.split('&') {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            match name {
                // The second `appId` is a parameter of the unencoded page URL.
                "appId" if spilling && app_id.is_some() => return Err(UrlProblem::Spilled(name.to_owned())),
                "appId" => {
                    is_app_id_doubtful = spilling;
                    app_id = app_id.or(Some(value));
                }
                _ if spilling => return Err(UrlProblem::Spilled(printable(name))),
                "url" if url.is_some() => return Err(UrlProblem::Repeated),
                "url" => {
                    spilling = value.contains('?');
                    url = Some(value);
                }
                _ => {}
            }
        }
        let url = decoded(url.unwrap_or_default()).ok_or(UrlProblem::NotAPageUrl)?;
        let app_id = app_id
            .filter(|id| !id.is_empty())
            .map(|id| percent_decode_str(id).decode_utf8_lossy());
        Ok(Self {
            url,
            app_id,
            is_app_id_doubtful,
        })
    }
}

/// `text`, percent-decoded; `None` if the result is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    // Allocated at full capacity, so that it does not grow.
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend(percent_decode_str(text));
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// `text` made safe for a message: short, decoded, without control characters.
pub fn printable(text: &str) -> String {
    percent_decode_str(text)
        .decode_utf8_lossy()
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_is_the_one_that_a_browser_would_open() {
        for (url, host) in [
            ("https://a.cn", "a.cn"),
            ("https://a.cn:8443/b", "a.cn"),
            ("https://good.cn@evil.cn/", "evil.cn"),
            ("https://u:p@a.cn:1?x", "a.cn"),
            ("http://[::1]:8080/x", "[::1]"),
        ] {
            assert_eq!(PageUrl::parse(url).unwrap().host(), host, "{url}");
        }
    }

    #[test]
    fn invalid_page_url_is_refused_with_its_reason() {
        use UrlProblem::*;
        let long = format!("https://a.cn/{}", "a".repeat(PageUrl::MAX_LEN));
        for (text, problem) in [
            ("", Missing),
            (" \t", Missing),
            (long.as_str(), TooLong),
            ("a.cn/p", NotAbsolute),
            ("//a.cn/p", NotAbsolute),
            ("ftp://a.cn/", NotAbsolute),
            ("https://", NotAbsolute),
            ("https:///p", NotAbsolute),
            ("https://?x", NotAbsolute),
            ("https://#x", NotAbsolute),
            ("https://a.cn:x/", NotAbsolute),
            ("https://evil.cn\\@a.cn/", NotAbsolute),
            ("https%3A%2F%2Fa.cn", EncodedTooOften),
            ("HTTP%3a%2f%2fa.cn", EncodedTooOften),
            ("https%253A%252F%252Fa.cn", EncodedTooOften),
            ("https:%2F%2Fa.cn", EncodedTooOften),
            ("https:a.cn", NotAbsolute),
            ("https://a.cn/\n", NotAPageUrl),
        ] {
            assert_eq!(PageUrl::parse(text), Err(problem), "{text:.40}");
        }
    }

    #[test]
    fn url_with_characters_that_browsers_encode_has_a_warning() {
        for (url, is_warned_about) in [
            ("https://a.cn/p?x=%E4%B8%AD+%20%22", false),
            ("https://a.cn/p?x='{}|^`[]\\", false),
            ("https://xn--fsqu00a.cn/", false),
            ("https://a.cn/#中 文", false),
            ("https://例子.cn/", true),
            ("https://a.cn/中文", true),
            ("https://a.cn/?q=中 文", true),
            ("https://a.cn/a b", true),
            ("https://a.cn/?x=\"a\"", true),
            ("https://a.cn/<p>", true),
        ] {
            let warning = PageUrl::parse(url).unwrap().warning();
            assert_eq!(warning.is_some(), is_warned_about, "{url}");
        }
    }

    #[test]
    fn unencoded_url_is_refused_with_the_parameter_that_would_be_lost() {
        let spilled = |name: &str| UrlProblem::Spilled(name.to_owned());
        for (query, problem) in [
            ("url=https://a.cn/p?x=1&from=singlemessage", spilled("from")),
            ("url=https://a.cn/p?x=1&url=2", spilled("url")),
            ("appId=wx1&url=https://a.cn/p?x=1&appId=wx2", spilled("appId")),
            ("url=https%3A%2F%2Fa.cn&url=x", UrlProblem::Repeated),
            ("url=%FF", UrlProblem::NotAPageUrl),
        ] {
            assert_eq!(QueryParams::parse(query), Err(problem), "{query}");
        }
        assert!(
            QueryParams::parse("from=x&url=https://a.cn/p?x=1").is_ok(),
            "what precedes url is not its query"
        );
        assert!(
            QueryParams::parse("url=https://a.cn/p&_=1").is_ok(),
            "a URL with no query has nothing to lose"
        );
    }

    proptest! {
        #[test]
        fn unencoded_url_is_never_signed_in_part(
            path in "[a-z/]{0,8}", own in "[a-z]=[a-z0-9]{0,4}", lost in "[b-z][a-zA-Z]{0,8}", value in "[a-z0-9%]{0,4}",
        ) {
            let query = format!("url=https://a.cn/{path}?{own}&{lost}={value}");
            prop_assert_eq!(QueryParams::parse(&query), Err(UrlProblem::Spilled(lost)));
        }

        #[test]
        fn parameter_name_in_a_message_is_short_and_printable(query in "(url|appId|x|=|&|%|%[0-9a-fA-F]{2}|\\?|\\PC){0,20}") {
            if let Err(UrlProblem::Spilled(name)) = QueryParams::parse(&query) {
                prop_assert!(name.chars().count() <= 64 && !name.contains(char::is_control));
            }
        }
    }
}
