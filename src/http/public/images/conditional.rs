//! Conditions and ranges as in RFC 9110 (sections 13 and 14), for content that never changes under its name. So it has an
//! entity tag and no date: conditions with dates are ignored (sections 13.1.3 to 13.1.5).
//!
//! tower-http's `ServeFile` answers 416 to ranges that must be ignored, and does not support `If-Range`.

use std::ops::Range;

use http::{HeaderMap, HeaderName, Method, header};

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// It already has the picture.
    Nothing,
    /// It requires another picture than there is.
    Changed,
    /// A range that begins beyond the end.
    Beyond,
}

/// What to return for a request with `headers`, for a picture with this entity tag and length.
pub(super) fn wanted(method: &Method, headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    if headers.contains_key(header::IF_MATCH) && !names(headers, header::IF_MATCH, etag, false) {
        return Wanted::Changed;
    }
    if names(headers, header::IF_NONE_MATCH, etag, true) {
        return Wanted::Nothing;
    }
    let is_of_another = headers.get(header::IF_RANGE).is_some_and(|tag| tag != etag);
    let range = headers
        .get(header::RANGE)
        .filter(|_| method == Method::GET && !is_of_another);
    let part = range.and_then(|range| part(range.to_str().ok()?, length));
    part.unwrap_or(Wanted::Whole)
}

/// Whether a list of entity tags contains this one. Only a weak comparison accepts a weak tag.
fn names(headers: &HeaderMap, name: HeaderName, etag: &str, weak: bool) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| {
        let opaque = tag.strip_prefix("W/").filter(|_| weak);
        tag == "*" || opaque.unwrap_or(tag) == etag
    })
}

/// What a `Range` header requests of `length` bytes. `None` if it is to be ignored: it has another unit, is malformed, or
/// requests several ranges, which need not be supported.
fn part(header: &str, length: u64) -> Option<Wanted> {
    let (unit, ranges) = header.split_once('=')?;
    let (first, last) = ranges.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (start, end) = match (first, last) {
        ("", count) => (length.saturating_sub(number(count)?), length),
        (first, "") => (number(first)?, length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(length))
        }
    };
    Some(if start < end {
        Wanted::Part(start..end)
    } else {
        Wanted::Beyond
    })
}

/// A number in digits; one that is too large is treated as the maximum.
fn number(digits: &str) -> Option<u64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    only_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"0123.jpg\"";

    fn asked(method: &Method, length: u64, headers: &[(HeaderName, &str)]) -> Wanted {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        wanted(method, &headers.collect(), ETAG, length)
    }

    #[test]
    fn one_range_of_bytes_is_cut_and_any_other_ignored() {
        for (range, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-19", Wanted::Part(10..20)),
            ("bytes=010-19", Wanted::Part(10..20)),
            ("Bytes= 90- ", Wanted::Part(90..100)),
            ("bytes=90-99999999999999999999999", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("items=0-1", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=19-10", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
        ] {
            assert_eq!(asked(&Method::GET, 100, &[(header::RANGE, range)]), wanted, "{range}");
            assert_eq!(asked(&Method::HEAD, 100, &[(header::RANGE, range)]), Wanted::Whole);
        }
        assert_eq!(asked(&Method::GET, 0, &[(header::RANGE, "bytes=-1")]), Wanted::Beyond);
    }

    #[test]
    fn conditions_count_by_the_entity_tag() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (name, condition, wanted) in [
            (header::IF_RANGE, ETAG, Wanted::Part(0..1)),
            (header::IF_RANGE, "\"another\"", Wanted::Whole),
            (header::IF_RANGE, "W/\"0123.jpg\"", Wanted::Whole),
            (header::IF_RANGE, DATE, Wanted::Whole),
            (header::IF_RANGE, "*", Wanted::Whole),
            (header::IF_NONE_MATCH, ETAG, Wanted::Nothing),
            (header::IF_NONE_MATCH, "\"x\", W/\"0123.jpg\"", Wanted::Nothing),
            (header::IF_NONE_MATCH, "*", Wanted::Nothing),
            (header::IF_NONE_MATCH, "\"x\"", Wanted::Part(0..1)),
            (header::IF_MATCH, ETAG, Wanted::Part(0..1)),
            (header::IF_MATCH, "*", Wanted::Part(0..1)),
            (header::IF_MATCH, "W/\"0123.jpg\"", Wanted::Changed),
            (header::IF_MODIFIED_SINCE, DATE, Wanted::Part(0..1)),
        ] {
            let headers = [(header::RANGE, "bytes=0-0"), (name, condition)];
            assert_eq!(asked(&Method::GET, 100, &headers), wanted, "{condition}");
        }
    }
}
