//! What mistakes make of a URL's characters.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

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
