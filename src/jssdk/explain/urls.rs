//! What happens to URLs on their way to being signed.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What `encodeURIComponent` leaves as it is, besides letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What `URLEncoder`, `urlencode` and their like leave as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
const FORM_WITH_STAR: &AsciiSet = &FORM.remove(b'*');

/// What `encodeURI` leaves as it is.
const WHOLE: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

fn encode(url: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(url, set).to_string()
}

/// `url` encoded as a whole, by the usual encoders.
pub(super) fn encoded(url: &str) -> Vec<String> {
    let mut variants = Vec::new();
    for set in [COMPONENT, FORM, FORM_WITH_STAR, WHOLE] {
        let once = encode(url, set);
        variants.push(lower_case_escapes(&once));
        variants.push(encode(&once, set));
        variants.push(once);
    }
    variants
}

/// `url` decoded once, with and without a `+` for a space.
pub(super) fn decoded(url: &str) -> Vec<String> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
    [decode(url), decode(&url.replace('+', "%20"))]
        .into_iter()
        .flatten()
        .collect()
}

/// `url` with its escapes written otherwise: what is not ASCII escaped, or the digits in the other case.
pub(super) fn escaped_otherwise(url: &str) -> Vec<String> {
    let ascii = encode(url, CONTROLS);
    let lower = lower_case_escapes(&ascii);
    vec![change_escapes(url, str::to_ascii_uppercase), ascii, lower]
}

fn lower_case_escapes(url: &str) -> String {
    change_escapes(url, str::to_ascii_lowercase)
}

fn change_escapes(url: &str, change: fn(&str) -> String) -> String {
    let mut pieces = url.split('%');
    let mut changed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        changed.push('%');
        match (piece.get(..2), piece.get(2..)) {
            (Some(digits), Some(rest)) => changed.extend([change(digits).as_str(), rest]),
            _ => changed.push_str(piece),
        }
    }
    changed
}

/// A URL in parts: what stands before the host, host and port, path, query with its `?`.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scheme,
            host,
            path,
            query,
        } = self;
        write!(f, "{scheme}{host}{path}{query}")
    }
}

fn parts(url: &str) -> Parts<'_> {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Parts {
        scheme,
        host,
        path,
        query,
    }
}

fn with_scheme(url: &str, scheme: &str) -> String {
    Parts { scheme, ..parts(url) }.to_string()
}

fn with_host(url: &str, host: &str) -> String {
    Parts { host, ..parts(url) }.to_string()
}

fn with_path(url: &str, path: &str) -> String {
    Parts { path, ..parts(url) }.to_string()
}

/// The other scheme.
pub(super) fn other_scheme(url: &str) -> Vec<String> {
    let secure = parts(url).scheme.eq_ignore_ascii_case("https://");
    vec![with_scheme(url, if secure { "http://" } else { "https://" })]
}

/// A slash more or less at the path's end.
pub(super) fn other_slash(url: &str) -> Vec<String> {
    let path = parts(url).path;
    let other = match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    };
    vec![with_path(url, &other), format!("{url}/")]
}

/// The directory's page named, or not.
pub(super) fn other_index(url: &str) -> Vec<String> {
    const PAGES: [&str; 7] = [
        "index.html",
        "index.htm",
        "index.php",
        "index.jsp",
        "index.do",
        "index",
        "default.aspx",
    ];
    let path = parts(url).path;
    let mut paths = Vec::new();
    for page in PAGES {
        if let Some(directory) = path.strip_suffix(page).filter(|rest| rest.ends_with('/')) {
            paths.extend([directory, directory.trim_end_matches('/')].map(str::to_owned));
        }
        paths.push(format!("{}/{page}", path.trim_end_matches('/')));
    }
    paths.iter().map(|path| with_path(url, path)).collect()
}

/// A port more, another one, or none.
pub(super) fn other_port(url: &str) -> Vec<String> {
    let host = parts(url).host;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let ports = ["", ":80", ":443", ":8080", ":8443", ":3000", ":8000"].into_iter();
    ports.map(|port| with_host(url, &format!("{name}{port}"))).collect()
}

/// `www.` more or less.
pub(super) fn other_www(url: &str) -> Vec<String> {
    let host = parts(url).host;
    let other = match host.strip_prefix("www.") {
        Some(shorter) => shorter.to_owned(),
        None => format!("www.{host}"),
    };
    vec![with_host(url, &other)]
}

/// All of it in lower case, or what stands before the path.
pub(super) fn lower_case(url: &str) -> Vec<String> {
    let Parts { scheme, host, .. } = parts(url);
    let host_only = with_host(&with_scheme(url, &scheme.to_lowercase()), &host.to_lowercase());
    vec![host_only, url.to_lowercase()]
}

/// Up to its query.
pub(super) fn without_query(url: &str) -> Vec<String> {
    let bare = Parts {
        query: "",
        ..parts(url)
    };
    vec![bare.to_string()]
}

/// Up to its path.
pub(super) fn origin(url: &str) -> Vec<String> {
    let Parts { scheme, host, .. } = parts(url);
    vec![format!("{scheme}{host}"), format!("{scheme}{host}/")]
}

/// Without what stands before the path, or before the host.
pub(super) fn relative(url: &str) -> Vec<String> {
    let path = parts(url).path.to_owned();
    let without_scheme = with_scheme(url, "");
    let without_host = Parts {
        scheme: "",
        host: "",
        ..parts(url)
    };
    vec![
        without_host.to_string(),
        path,
        format!("//{without_scheme}"),
        without_scheme,
    ]
}

/// Up to its first, second … `&`: the rest became parameters of the request to sign it.
pub(super) fn cut_at_ampersand(url: &str) -> Vec<String> {
    url.match_indices('&')
        .take(8)
        .map(|(at, _)| url[..at].to_owned())
        .collect()
}

/// What WeChat appends to the URL of a page that is shared or opened from a chat.
const SHARE: [&str; 12] = [
    "from",
    "isappinstalled",
    "scene",
    "subscene",
    "clicktime",
    "enterid",
    "sessionid",
    "ascene",
    "nettype",
    "wx_header",
    "pass_ticket",
    "abtest_cookie",
];

pub(super) fn without_share_parameters(url: &str) -> Vec<String> {
    let mut variants = vec![without_parameters(url, &SHARE), without_parameters(url, &SHARE[..2])];
    variants.push(without_parameters(url, &SHARE[..1]));
    variants.push(without_parameters(url, &SHARE[1..2]));
    variants
}

/// What comes back from logging in by WeChat.
pub(super) fn without_login_parameters(url: &str) -> Vec<String> {
    let names = ["code", "state"];
    vec![
        without_parameters(url, &names),
        without_parameters(url, &names[..1]),
        without_parameters(url, &names[1..]),
    ]
}

fn without_parameters(url: &str, names: &[&str]) -> String {
    let Some((page, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let kept = query
        .split('&')
        .filter(|pair| !names.contains(&pair.split('=').next().unwrap_or_default()));
    let kept: Vec<&str> = kept.collect();
    if kept.is_empty() {
        page.to_owned()
    } else {
        format!("{page}?{}", kept.join("&"))
    }
}

pub(super) fn with_share_parameters(url: &str) -> Vec<String> {
    let join = if url.contains('?') { '&' } else { '?' };
    let mut variants = Vec::new();
    for from in ["singlemessage", "groupmessage", "timeline"] {
        for installed in ["&isappinstalled=0", "&isappinstalled=1", ""] {
            variants.push(format!("{url}{join}from={from}{installed}"));
        }
    }
    variants
}

/// The query taken apart and put together otherwise: sorted, with an `=` after every name or after none
/// that has no value, without what is empty.
pub(super) fn rebuilt_query(url: &str) -> Vec<String> {
    let Some((page, query)) = url.split_once('?') else {
        return vec![format!("{url}?"), format!("{url}&")];
    };
    let pairs: Vec<&str> = query.split('&').collect();
    let mut sorted = pairs.clone();
    sorted.sort_unstable();
    let equals = |pair: &&str| {
        if pair.contains('=') {
            (*pair).to_owned()
        } else {
            format!("{pair}=")
        }
    };
    let with_equals: Vec<String> = pairs.iter().map(equals).collect();
    let bare: Vec<&str> = pairs
        .iter()
        .map(|pair| pair.strip_suffix('=').unwrap_or(pair))
        .collect();
    let full: Vec<&str> = pairs.iter().copied().filter(|pair| !pair.is_empty()).collect();
    let mut variants: Vec<String> = [sorted.join("&"), with_equals.join("&"), bare.join("&"), full.join("&")]
        .into_iter()
        .map(|query| format!("{page}?{query}"))
        .collect();
    if full.is_empty() {
        variants.push(page.to_owned());
    }
    variants.push(format!("{url}&"));
    variants
}

/// White space at either end, and the line's end of a command line.
pub(super) fn padded(url: &str) -> Vec<String> {
    vec![
        format!("{url} "),
        format!("{url}\n"),
        format!(" {url}"),
        format!("{url}\r\n"),
        format!("\"{url}\""),
    ]
}

/// `&` as HTML writes it, or the other way round.
pub(super) fn html_escaped(url: &str) -> Vec<String> {
    vec![
        url.replace('&', "&amp;"),
        url.replace("&amp;", "&"),
        url.replace('&', "\\u0026"),
    ]
}
