//! Compares the URL in a signing call with the URL of the page that made the call.

use super::claim::{REQUEST_EXPECTED, URL_EXPECTED};
use super::find_mistakes;
use super::marked::{Marked, mark};
use super::mistakes::{Mistake, ON_IOS, SEND_THE_URL, cures};
use super::urls::parts;
use crate::jssdk::page_url::{PageUrl, QueryParams, UrlProblem};
use crate::words::Words;

/// What the gateway does with a signing call.
#[derive(Debug)]
pub enum Comparison {
    /// It refuses the URL as sent.
    Refused(UrlProblem),
    /// It signs this URL, which is byte for byte the page's.
    Same(String),
    /// It signs another URL.
    Different(Box<Difference>),
}

/// Where two URLs differ.
#[derive(Debug)]
pub struct Difference {
    /// The URL that is signed.
    pub signed: Marked,
    pub page: Marked,
    /// The parts that differ.
    pub parts: Vec<Words>,
    /// Known mistakes that turn the page's URL into the signed one: one, two in this order, or none.
    pub mistakes: Vec<&'static Mistake>,
}

/// Compares the URL in `request`, as copied from a browser's network tab (a URL, a request line, a curl command, a fetch
/// call), with the URL of `page`. The error says what is wrong.
pub fn compare(request: &str, page: &str) -> Result<Comparison, Words> {
    let query = query_of(request).ok_or(REQUEST_EXPECTED)?;
    let page = PageUrl::parse(page.trim()).map_err(|_| URL_EXPECTED)?.as_str();
    let signed = QueryParams::parse(&query).and_then(|params| Ok(PageUrl::parse(&params.url)?.as_str().to_owned()));
    let signed = match signed {
        Ok(signed) if signed == page => return Ok(Comparison::Same(signed)),
        Ok(signed) => signed,
        Err(problem) => return Ok(Comparison::Refused(problem)),
    };
    let (signed_marked, page_marked) = mark(&signed, page);
    let url_variants = |mistake: &Mistake, url: &String| mistake.urls(url);
    let found = find_mistakes(&page.to_owned(), url_variants, |url| *url == signed);
    Ok(Comparison::Different(Box::new(Difference {
        signed: signed_marked,
        page: page_marked,
        parts: differing_parts(&signed, page),
        mistakes: found.map(|(mistakes, _)| mistakes).unwrap_or_default(),
    })))
}

/// The query string of the signing call in `request`; `None` if no query has a `url` in it.
fn query_of(request: &str) -> Option<String> {
    let request = request.trim();
    let is_for_cmd = request.starts_with("curl") && request.contains("^\"");
    let request = if is_for_cmd {
        without_carets(request)
    } else {
        request.to_owned()
    };
    let (before, query) = request.split_once('?')?;
    let delimiter = before.rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'));
    // A URL by itself may contain anything; one within a line or a command ends at the delimiter that precedes it.
    // Browsers send no fragment.
    let query = match delimiter.and_then(|at| before[at..].chars().next()) {
        None => query,
        Some(blank) if blank.is_whitespace() => query.split_whitespace().next()?,
        Some(quote) => query.split(quote).next()?,
    };
    let query = query.split('#').next().unwrap_or_default();
    let has_url = query.split('&').any(|pair| pair.starts_with("url="));
    has_url.then(|| query.to_owned())
}

/// `command` without the escapes of cmd.exe, where a caret escapes the next character.
fn without_carets(command: &str) -> String {
    let mut chars = command.chars();
    std::iter::from_fn(|| chars.next().and_then(|c| if c == '^' { chars.next() } else { Some(c) })).collect()
}

fn differing_parts(signed: &str, page: &str) -> Vec<Words> {
    let (signed, page) = (parts(signed), parts(page));
    let pairs = [
        (Words::new("different scheme", "协议不同"), signed.scheme, page.scheme),
        (
            Words::new("different host or port", "域名或端口不同"),
            signed.host,
            page.host,
        ),
        (Words::new("different path", "路径不同"), signed.path, page.path),
        (Words::new("different query", "查询参数不同"), signed.query, page.query),
    ];
    pairs
        .into_iter()
        .filter(|(_, signed, page)| signed != page)
        .map(|(words, ..)| words)
        .collect()
}

impl Comparison {
    /// What to know about iOS, if the two URLs may be of one single-page app.
    pub fn on_ios(&self) -> Option<Words> {
        let may_be_app = match self {
            Self::Same(_) => true,
            Self::Different(difference) => {
                let (signed, page) = (difference.signed.whole(), difference.page.whole());
                let (signed, page) = (parts(&signed), parts(&page));
                let is_spelling = difference.mistakes.iter().any(|mistake| mistake.is_spelling());
                (signed.scheme, signed.host) == (page.scheme, page.host) && !is_spelling
            }
            Self::Refused(_) => false,
        };
        may_be_app.then_some(ON_IOS)
    }

    /// Why WeChat will refuse the signature of the call's URL on any page.
    pub fn warning(&self) -> Option<Words> {
        let signed = match self {
            Self::Refused(_) => return None,
            Self::Same(url) => url.clone(),
            Self::Different(difference) => difference.signed.whole(),
        };
        PageUrl::parse(&signed).ok()?.warning()
    }
}

impl Difference {
    /// The number of equal bytes before the first difference.
    pub fn at(&self) -> usize {
        self.page.before.len()
    }

    pub fn cures(&self) -> Vec<Words> {
        let mut cures = cures(&self.mistakes);
        if cures.is_empty() {
            cures.push(SEND_THE_URL);
        }
        cures
    }
}

/// The explanation of a URL that can't be signed; the parameter that would be lost is in `UrlProblem::Spilled`.
pub fn refusal(problem: &UrlProblem) -> Words {
    match problem {
        UrlProblem::Missing => Words::new("the call's url is empty", "请求里的 url 是空的"),
        UrlProblem::Repeated => Words::new("the call has url more than once", "请求里的 url 出现了多次"),
        UrlProblem::TooLong => Words::new(
            "the call's url is longer than 8192 bytes",
            "请求里的 url 超过 8192 字节",
        ),
        UrlProblem::NotAbsolute => Words {
            en: "the call's url is not absolute: it must begin with http:// or https:// and a host",
            zh: "请求里的 url 不完整：要以 http:// 或 https:// 加域名开头",
        },
        UrlProblem::EncodedTooOften => Words {
            en: "the call's url is encoded twice or more: call encodeURIComponent only once, and not at all if a library \
                 (axios, URLSearchParams) already encodes parameters",
            zh: "请求里的 url 编码了两次或多次：encodeURIComponent 只能调用一次；axios、URLSearchParams 等会自动编码，\
                 不要再自己编码",
        },
        UrlProblem::NotAPageUrl => Words::new(
            "the call's url has bytes that can't occur in a page's URL",
            "请求里的 url 含有页面 URL 里不可能出现的字节",
        ),
        UrlProblem::Spilled(_) => Words {
            en: "the call's url was sent unencoded, so a parameter of the page would be lost: use encodeURIComponent",
            zh: "请求里的 url 没有编码，页面自己的参数会丢失：请使用 encodeURIComponent",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://h5.example.com/p?q=%E4%B8%AD&from=singlemessage";

    fn encoded(url: &str) -> String {
        percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    fn difference(signed: &str, page: &str) -> Difference {
        match compare(&format!("/wechat/jsSDK?url={}", encoded(signed)), page).unwrap() {
            Comparison::Different(difference) => *difference,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn request_is_accepted_in_every_form_that_a_browser_copies() {
        let url = format!(
            "https://gw.example.com/wechat/jsSDK?appId=wx1&url={}&_=1",
            encoded(PAGE)
        );
        for request in [
            url.clone(),
            format!(" {url}\n"),
            format!("GET {url} HTTP/1.1"),
            format!("GET /wechat/jsSDK?url={} HTTP/1.1\r\nHost: x?y", encoded(PAGE)),
            format!("curl '{url}' \\\n  -H 'accept: */*' --compressed"),
            format!("\"{url}#fragment\""),
            // As Chrome on Windows copies them: for cmd.exe, for PowerShell, and as fetch.
            format!(
                "curl ^\"{}^\" ^\r\n  -H ^\"accept: */*^\"",
                url.replace('&', "^&").replace('%', "^%^")
            ),
            format!("Invoke-WebRequest -UseBasicParsing -Uri \"{url}\" `\r\n-Headers @{{}}"),
            format!("await fetch(\"{url}\", {{ \"method\": \"GET\" }});"),
        ] {
            let same = compare(&request, &format!("{PAGE}#/route"));
            assert!(
                matches!(same, Ok(Comparison::Same(signed)) if signed == PAGE),
                "{request}"
            );
        }
        for request in ["", "https://gw.example.com/wechat/jsSDK", "/x?curl=1", "GET / HTTP/1.1"] {
            assert_eq!(compare(request, PAGE).unwrap_err(), REQUEST_EXPECTED, "{request}");
        }
        assert_eq!(compare(&url, "example.com").unwrap_err(), URL_EXPECTED);
    }

    #[test]
    fn difference_is_marked_by_whole_characters_and_escapes() {
        for (signed, page, parts) in [
            ("https://a.cn/|p|?x", "https://a.cn/|q|?x", "different path"),
            ("https://|a|.cn/p", "https://|b|.cn/p", "different host or port"),
            ("http||://a.cn/", "http|s|://a.cn/", "different scheme"),
            (
                "https://a.cn/p?x=1||",
                "https://a.cn/p?x=1|&from=timeline|",
                "different query",
            ),
            (
                "https://a.cn/?q=|%e4|%B8",
                "https://a.cn/?q=|%E4|%B8",
                "different query",
            ),
            (
                "https://a.cn/?q=%E4|%B9|%AD",
                "https://a.cn/?q=%E4|%B8|%AD",
                "different query",
            ),
            ("https://a.cn/?q=|中|文", "https://a.cn/?q=|丰|文", "different query"),
            ("https://a.cn/a|a|", "https://a.cn/a||", "different path"),
        ] {
            let found = difference(&signed.replace('|', ""), &page.replace('|', ""));
            for (marked, expected) in [(&found.signed, signed), (&found.page, page)] {
                let parts = [marked.before.as_str(), &marked.differing, &marked.after];
                assert_eq!(parts.join("|"), expected);
            }
            assert_eq!(found.parts[0].en, parts);
        }
    }

    #[test]
    fn mistake_behind_a_difference_is_named() {
        for (signed, page, names) in [
            (
                "https://a.cn/p?x=1",
                "https://a.cn/p?x=1&from=timeline",
                vec!["share_parameters_missing"],
            ),
            ("http://a.cn/p", "https://a.cn/p/", vec!["other_scheme", "slash"]),
            ("https://a.cn/?q=中", "https://a.cn/?q=%E4%B8%AD", vec!["decoded"]),
            ("https://a.cn/one", "https://a.cn/two", vec![]),
        ] {
            let found: Vec<_> = difference(signed, page)
                .mistakes
                .iter()
                .map(|mistake| mistake.name)
                .collect();
            assert_eq!(found, names, "{signed}");
        }
    }

    #[test]
    fn url_that_no_browser_has_is_warned_about_even_if_both_are_equal() {
        let warning =
            |signed: &str, page: &str| compare(&format!("/?url={}", encoded(signed)), page).unwrap().warning();
        let raw = "https://a.cn/中文";
        assert!(warning(raw, raw).is_some());
        assert!(warning("https://a.cn/a b", "https://a.cn/a%20b").is_some());
        assert_eq!(warning(PAGE, PAGE), None);
    }

    #[test]
    fn long_urls_are_shortened_around_the_mark() {
        let (long, more) = ("l".repeat(200), "中".repeat(100));
        let found = difference(
            &format!("https://a.cn/{long}x{more}"),
            &format!("https://a.cn/{long}y{more}"),
        );
        let short = found.signed.shortened();
        assert_eq!(short.before, format!("…{}", "l".repeat(60)));
        assert_eq!(
            (short.differing.as_str(), short.after.as_str()),
            ("x", &*format!("{}…", "中".repeat(10)))
        );
        assert_eq!((found.at(), found.signed.hex()), (213, "78".to_owned()));
    }
}
