//! URLs that can be signed, but whose signature WeChat will refuse.

use super::page_url::PageUrl;
use crate::words::Words;

/// Characters in `url` that occur in no browser's `location.href`. The URL is signed byte for byte as it was sent, but
/// WeChat checks the signature against the URL that is open, in which these characters are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlWarning {
    /// The host is in Unicode.
    UnicodeHost,
    /// There is a non-ASCII character after the host.
    NonAscii,
    /// There is a space.
    Blank,
    /// There is a `"`, `<` or `>`.
    Unescaped,
}

impl UrlWarning {
    /// The warning for the caller.
    pub fn words(self) -> Words {
        match self {
            Self::UnicodeHost => Words {
                en: "the URL's host is in Unicode, and WeChat will refuse its signature: location.href has the host's xn-- \
                     form. Send encodeURIComponent(location.href.split('#')[0])",
                zh: "网址的域名是 Unicode 写法，微信会拒绝它的签名：location.href 里是 xn-- 形式。请传 \
                     encodeURIComponent(location.href.split('#')[0])",
            },
            Self::NonAscii => Words {
                en: "the URL has unencoded non-ASCII characters, and WeChat will refuse its signature: location.href has them \
                     percent-encoded (%E4%B8%AD). It was decoded once too often, or sent without encodeURIComponent",
                zh: "网址里有未转义的非 ASCII 字符，微信会拒绝它的签名：location.href 里是 %E4%B8%AD 这样的转义。\
                     网址多解码了一次，或没有经过 encodeURIComponent",
            },
            Self::Blank => Words {
                en: "the URL has a space, and WeChat will refuse its signature: location.href has %20 or + there. It was \
                     decoded once too often, or sent without encodeURIComponent",
                zh: "网址里有空格，微信会拒绝它的签名：location.href 里是 %20 或 +。网址多解码了一次，或没有经过 \
                     encodeURIComponent",
            },
            Self::Unescaped => Words {
                en: "the URL has an unencoded \", < or >, and WeChat will refuse its signature: location.href has %22, %3C or %3E \
                     there. It was decoded once too often, or sent without encodeURIComponent",
                zh: "网址里有未转义的双引号、< 或 >，微信会拒绝它的签名：location.href 里是 %22、%3C 或 %3E。\
                     网址多解码了一次，或没有经过 encodeURIComponent",
            },
        }
    }
}

impl PageUrl<'_> {
    /// Why WeChat will refuse this URL's signature, if it will.
    pub fn warning(&self) -> Option<UrlWarning> {
        let url = self.as_str();
        if !self.host().is_ascii() {
            Some(UrlWarning::UnicodeHost)
        } else if !url.is_ascii() {
            Some(UrlWarning::NonAscii)
        } else if url.contains(' ') {
            Some(UrlWarning::Blank)
        } else if url.contains(['"', '<', '>']) {
            Some(UrlWarning::Unescaped)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_characters_that_browsers_encode_has_a_warning() {
        for (url, warning) in [
            ("https://a.cn/p?x=%E4%B8%AD+%20%22", None),
            ("https://a.cn/p?x='{}|^`[]\\", None),
            ("https://xn--fsqu00a.cn/", None),
            ("https://a.cn/#中 文", None),
            ("https://例子.cn/", Some(UrlWarning::UnicodeHost)),
            ("https://a.cn/中文", Some(UrlWarning::NonAscii)),
            ("https://a.cn/?q=中 文", Some(UrlWarning::NonAscii)),
            ("https://a.cn/a b", Some(UrlWarning::Blank)),
            ("https://a.cn/?x=\"a\"", Some(UrlWarning::Unescaped)),
            ("https://a.cn/<p>", Some(UrlWarning::Unescaped)),
        ] {
            assert_eq!(PageUrl::parse(url).unwrap().warning(), warning, "{url}");
        }
    }
}
