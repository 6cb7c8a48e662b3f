//! What mistakes turn a URL into: each function returns the variants that one mistake may produce.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::quirks::{domain_to_ascii, domain_to_unicode};

/// A URL in parts: scheme with `://`, host and port, path, query with its `?`.
pub(super) struct UrlParts<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

impl fmt::Display for UrlParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}{}", self.scheme, self.host, self.path, self.query)
    }
}

pub(super) fn parts(url: &str) -> UrlParts<'_> {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    UrlParts {
        scheme,
        host,
        path,
        query,
    }
}

fn with_host(url: &str, host: &str) -> String {
    UrlParts { host, ..parts(url) }.to_string()
}

fn with_path(url: &str, path: &str) -> String {
    UrlParts { path, ..parts(url) }.to_string()
}

pub(super) fn other_scheme(url: &str) -> Vec<String> {
    let parts = parts(url);
    let is_secure = parts.scheme.eq_ignore_ascii_case("https://");
    let scheme = if is_secure { "http://" } else { "https://" };
    vec![UrlParts { scheme, ..parts }.to_string()]
}

/// A slash added to the end of the path, or removed.
pub(super) fn other_slash(url: &str) -> Vec<String> {
    let path = parts(url).path;
    let other = match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    };
    vec![with_path(url, &other), format!("{url}/")]
}

/// The directory's index page added or removed.
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

/// A port added, replaced or removed.
pub(super) fn other_port(url: &str) -> Vec<String> {
    let (name, _) = name_and_port(parts(url).host);
    let ports = ["", ":80", ":443", ":8080", ":8443", ":3000", ":8000"].into_iter();
    ports.map(|port| with_host(url, &format!("{name}{port}"))).collect()
}

/// `www.` added or removed.
pub(super) fn other_www(url: &str) -> Vec<String> {
    let host = parts(url).host;
    let other = match host.strip_prefix("www.") {
        Some(shorter) => shorter.to_owned(),
        None => format!("www.{host}"),
    };
    vec![with_host(url, &other)]
}

/// The host in Unicode, or in its `xn--` form.
pub(super) fn other_host_form(url: &str) -> Vec<String> {
    let (name, port) = name_and_port(parts(url).host);
    let forms = [domain_to_unicode(name), domain_to_ascii(name)].into_iter();
    let others = forms.filter(|form| !form.is_empty() && form != name);
    others.map(|form| with_host(url, &format!("{form}{port}"))).collect()
}

/// Other hosts of the same site, and a server's own names behind a proxy.
pub(super) fn other_host(url: &str) -> Vec<String> {
    const SUBDOMAINS: [&str; 6] = ["m", "h5", "wap", "mobile", "wx", "app"];
    let (name, port) = name_and_port(parts(url).host);
    let mut names: Vec<String> = ["localhost", "127.0.0.1"].map(str::to_owned).into();
    names.extend(SUBDOMAINS.iter().map(|sub| format!("{sub}.{name}")));
    if let Some((_, parent)) = name.split_once('.').filter(|(_, parent)| parent.contains('.')) {
        names.push(parent.to_owned());
        names.extend(SUBDOMAINS.iter().map(|sub| format!("{sub}.{parent}")));
        names.push(format!("www.{parent}"));
    }
    let hosts = names.iter().map(|name| format!("{name}{port}"));
    hosts.map(|host| with_host(url, &host)).collect()
}

/// The path without its first segments, or without its last ones.
pub(super) fn other_path(url: &str) -> Vec<String> {
    const MOST: usize = 4;
    let path = parts(url).path;
    let from = path.match_indices('/').skip(1).take(MOST).map(|(at, _)| &path[at..]);
    let up_to = path
        .rmatch_indices('/')
        .take(MOST)
        .flat_map(|(at, _)| [&path[..=at], &path[..at]]);
    let paths = from.chain(up_to).filter(|other| *other != path);
    paths.map(|other| with_path(url, other)).collect()
}

/// A host's name, and its port including the colon.
fn name_and_port(host: &str) -> (&str, &str) {
    match host.rfind(':') {
        Some(colon) if host[colon + 1..].bytes().all(|b| b.is_ascii_digit()) => host.split_at(colon),
        _ => (host, ""),
    }
}

/// In lower case: the whole URL, or scheme and host.
pub(super) fn lower_case(url: &str) -> Vec<String> {
    let parts = parts(url);
    let (scheme, host) = (&*parts.scheme.to_lowercase(), &*parts.host.to_lowercase());
    vec![UrlParts { scheme, host, ..parts }.to_string(), url.to_lowercase()]
}

pub(super) fn without_query(url: &str) -> Vec<String> {
    let UrlParts { scheme, host, path, .. } = parts(url);
    vec![format!("{scheme}{host}{path}")]
}

pub(super) fn origin(url: &str) -> Vec<String> {
    let UrlParts { scheme, host, .. } = parts(url);
    vec![format!("{scheme}{host}"), format!("{scheme}{host}/")]
}

/// Without scheme and host, or without the scheme.
pub(super) fn relative(url: &str) -> Vec<String> {
    let UrlParts { host, path, query, .. } = parts(url);
    vec![
        format!("{path}{query}"),
        path.to_owned(),
        format!("//{host}{path}{query}"),
        format!("{host}{path}{query}"),
    ]
}

/// The URL up to its first, second … `&`: the rest became parameters of the signing call.
pub(super) fn cut_at_ampersand(url: &str) -> Vec<String> {
    let cuts = url.match_indices('&').take(8);
    cuts.map(|(at, _)| url[..at].to_owned()).collect()
}

/// Parameters that WeChat appends to the URL of a page that is shared or opened from a chat.
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
    let groups = [&SHARE, &SHARE[..2], &SHARE[..1], &SHARE[1..2]];
    groups.map(|names| without_parameters(url, names)).into()
}

/// Without the parameters that WeChat's login appends.
pub(super) fn without_login_parameters(url: &str) -> Vec<String> {
    let groups: [&[&str]; 3] = [&["code", "state"], &["code"], &["state"]];
    groups.map(|names| without_parameters(url, names)).into()
}

fn without_parameters(url: &str, names: &[&str]) -> String {
    let Some((page, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let is_kept = |pair: &&str| !names.contains(&pair.split('=').next().unwrap_or_default());
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
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

/// The query parsed and serialised again: sorted, with an `=` after every name, without one after names that have no
/// value, or without empty parameters.
pub(super) fn rebuilt_query(url: &str) -> Vec<String> {
    let Some((page, query)) = url.split_once('?') else {
        return vec![format!("{url}?"), format!("{url}&")];
    };
    let pairs: Vec<&str> = query.split('&').collect();
    let mut sorted = pairs.clone();
    sorted.sort_unstable();
    let equals = |pair: &&str| format!("{pair}{}", if pair.contains('=') { "" } else { "=" });
    let with_equals: Vec<String> = pairs.iter().map(equals).collect();
    let bare = pairs.iter().map(|pair| pair.strip_suffix('=').unwrap_or(pair));
    let bare: Vec<&str> = bare.collect();
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

/// White space at either end, a line break, or quotes.
pub(super) fn padded(url: &str) -> Vec<String> {
    let around = [("", " "), ("", "\n"), (" ", ""), ("", "\r\n"), ("\"", "\"")];
    around.map(|(before, after)| [before, url, after].concat()).into()
}

/// `&` as HTML or JSON escapes it, or unescaped.
pub(super) fn html_escaped(url: &str) -> Vec<String> {
    vec![
        url.replace('&', "&amp;"),
        url.replace("&amp;", "&"),
        url.replace('&', "\\u0026"),
    ]
}

/// What `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &without(NON_ALPHANUMERIC, b"-_.!~*'()");

/// What `URLEncoder`, `urlencode` and similar functions encode.
const FORM: &AsciiSet = &without(NON_ALPHANUMERIC, b"-_.");
const FORM_WITH_STAR: &AsciiSet = &without(FORM, b"*");

/// What `encodeURI` encodes.
const WHOLE: &AsciiSet = &without(COMPONENT, b";,/?:@&=+$#");

const fn without(set: &AsciiSet, characters: &[u8]) -> AsciiSet {
    let mut set = set.remove(characters[0]);
    let mut at = 1;
    while at < characters.len() {
        set = set.remove(characters[at]);
        at += 1;
    }
    set
}

fn encode(url: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(url, set).to_string()
}

/// `url` encoded as a whole by the usual encoders.
pub(super) fn encoded(url: &str) -> Vec<String> {
    let sets = [COMPONENT, FORM, FORM_WITH_STAR, WHOLE].into_iter();
    let variants = sets.flat_map(|set| {
        let once = encode(url, set);
        [lower_case_escapes(&once), encode(&once, set), once]
    });
    variants.collect()
}

/// `url` decoded once, with and without a `+` for a space.
pub(super) fn decoded(url: &str) -> Vec<String> {
    let with_spaces = url.replace('+', "%20");
    let forms = [url, &with_spaces].into_iter();
    let decoded = forms.filter_map(|form| percent_decode_str(form).decode_utf8().ok());
    decoded.map(String::from).collect()
}

/// `url` with other escapes: non-ASCII characters escaped, or hex digits in the other case.
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

/// Spaces and pluses encoded in another way, in the whole URL or in the query.
pub(super) fn other_space(url: &str) -> Vec<String> {
    const FORMS: [(&str, &str); 4] = [("%20", "+"), ("+", "%20"), ("+", "%2B"), ("%2B", "+")];
    let (page, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    FORMS
        .iter()
        .filter(|(from, _)| url.contains(from))
        .flat_map(|(from, to)| [url.replace(from, to), format!("{page}{}", query.replace(from, to))])
        .collect()
}
