//! Queries and forms of which some values are exchanged; every other byte stays as it came.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded;

use crate::secret::Secret;

/// What is escaped in a value: all but what never needs it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The values of the parameters called `name`, decoded.
pub(super) fn values(text: &str, name: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(text.as_bytes()).filter(|(key, _)| key == name);
    pairs.map(|(_, value)| value.into_owned()).collect()
}

/// `text` with `value` in each parameter called `name`.
pub(super) fn replaced(text: &str, name: &str, value: &Secret) -> String {
    let pairs = text.split('&').map(|pair| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        if percent_decode_str(key).eq(name.bytes()) {
            format!("{key}={}", escaped(value))
        } else {
            pair.to_owned()
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// `query` with `value` as the parameter `name`, in its place if it is there already.
pub(super) fn with(query: Option<&str>, name: &str, value: &Secret) -> String {
    match query.filter(|query| !query.is_empty()) {
        Some(query) if !values(query, name).is_empty() => replaced(query, name, value),
        Some(query) => format!("{query}&{name}={}", escaped(value)),
        None => format!("{name}={}", escaped(value)),
    }
}

fn escaped(value: &Secret) -> impl std::fmt::Display {
    utf8_percent_encode(value.expose(), ESCAPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_replaced_and_the_rest_kept() {
        let new = Secret::new("n-w_1 ~/");
        let query = "a=%7e&access_token=old&type=a+b&access_tokens=1&=&b";
        assert_eq!(
            replaced(query, "access_token", &new),
            "a=%7e&access_token=n-w_1%20~%2F&type=a+b&access_tokens=1&=&b"
        );
        assert_eq!(
            replaced("access%5ftoken=old", "access_token", &new),
            "access%5ftoken=n-w_1%20~%2F"
        );
        assert_eq!(replaced("s=1&s&s=3", "s", &Secret::new("x")), "s=x&s=x&s=x");
    }

    #[test]
    fn value_is_added_where_there_is_none() {
        let with = |query| with(query, "t", &Secret::new("1"));
        assert_eq!(with(None), "t=1");
        assert_eq!(with(Some("")), "t=1");
        assert_eq!(with(Some("a=b&")), "a=b&&t=1");
        assert_eq!(with(Some("a&t=&b")), "a&t=1&b");
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(values("a=1&%61=b+c%2D&A=2&a", "a"), ["1", "b c-", ""]);
    }
}
