//! Conditions and ranges as RFC 9110 has them (sections 13 and 14), for content that never changes.
//!
//! tower-http's `ServeFile` answers 416 to ranges that must be ignored, and knows no `If-Range`.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, header};

use crate::clock::with_a_date;

/// What is known of a picture without reading it.
pub(super) struct Representation {
    etag: String,
    modified: SystemTime,
    pub(super) length: u64,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// It has the picture already.
    Nothing,
    /// It wants another state of the picture than there is.
    Changed,
    /// A range that begins behind the end.
    Beyond,
}

impl Representation {
    /// The picture called `name`. The name is random, so it also identifies the content.
    pub(super) fn new(name: &str, modified: SystemTime, length: u64) -> Self {
        Self {
            etag: format!("\"{name}\""),
            modified: with_a_date(modified),
            length,
        }
    }

    /// The headers that conditional requests refer to.
    pub(super) fn validators(&self) -> [(HeaderName, String); 2] {
        let modified = httpdate::fmt_http_date(self.modified);
        [(header::ETAG, self.etag.clone()), (header::LAST_MODIFIED, modified)]
    }

    /// What a request with `headers` is to get.
    pub(super) fn asked_for(&self, method: &Method, headers: &HeaderMap) -> Wanted {
        if headers.contains_key(header::IF_MATCH) {
            if !self.is_among(headers, header::IF_MATCH, false) {
                return Wanted::Changed;
            }
        } else if date(headers, header::IF_UNMODIFIED_SINCE).is_some_and(|date| self.seconds() > seconds(date)) {
            return Wanted::Changed;
        }
        let has_it = if headers.contains_key(header::IF_NONE_MATCH) {
            self.is_among(headers, header::IF_NONE_MATCH, true)
        } else {
            date(headers, header::IF_MODIFIED_SINCE).is_some_and(|date| self.seconds() <= seconds(date))
        };
        if has_it {
            return Wanted::Nothing;
        }
        if method != Method::GET || !self.range_counts(headers) {
            return Wanted::Whole;
        }
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        range.and_then(parse).map_or(Wanted::Whole, |range| self.cut(&range))
    }

    /// Whether a list of entity tags has this one. Only a weak comparison accepts a weak tag.
    fn is_among(&self, headers: &HeaderMap, name: HeaderName, weak: bool) -> bool {
        let lists = headers.get_all(name).into_iter().filter_map(|list| list.to_str().ok());
        let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
        tags.any(|tag| {
            let opaque = tag.strip_prefix("W/").filter(|_| weak);
            tag == "*" || opaque.unwrap_or(tag) == self.etag
        })
    }

    /// Whether `If-Range`, if there is one, names this content.
    fn range_counts(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(header::IF_RANGE) else {
            return true;
        };
        let date = date(headers, header::IF_RANGE);
        condition.as_bytes() == self.etag.as_bytes() || date.is_some_and(|date| seconds(date) == self.seconds())
    }

    fn cut(&self, range: &Spec) -> Wanted {
        let (start, end) = match *range {
            Spec::From(first, last) => (first, last.saturating_add(1).min(self.length)),
            Spec::Last(length) => (self.length.saturating_sub(length), self.length),
        };
        if start < end {
            Wanted::Part(start..end)
        } else {
            Wanted::Beyond
        }
    }

    fn seconds(&self) -> u64 {
        seconds(self.modified)
    }
}

/// A range, before the length is known.
enum Spec {
    /// From the first to the last byte named.
    From(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

/// The one range of bytes in a `Range` header. `None` if the header is to be ignored: it has another unit, is malformed,
/// or asks for several ranges, which need not be served.
fn parse(header: &str) -> Option<Spec> {
    let (unit, ranges) = header.split_once('=')?;
    let (first, last) = ranges.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", length) => number(length).map(Spec::Last),
        (first, "") => number(first).map(|first| Spec::From(first, u64::MAX)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, last))
        }
    }
}

/// A number in digits; one too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    only_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// HTTP knows whole seconds only.
fn seconds(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.as_ref().map_or(0, Duration::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0123456789abcdef0123456789abcdef.jpg";
    const ETAG: &str = "\"0123456789abcdef0123456789abcdef.jpg\"";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn asked(method: &Method, length: u64, headers: &[(HeaderName, &str)]) -> Wanted {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(500);
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        Representation::new(NAME, modified, length).asked_for(method, &headers.collect())
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
    fn range_counts_only_for_the_content_that_if_range_names() {
        for (condition, wanted) in [
            (ETAG, Wanted::Part(0..1)),
            (DATE, Wanted::Part(0..1)),
            ("\"another\"", Wanted::Whole),
            ("W/\"0123456789abcdef0123456789abcdef.jpg\"", Wanted::Whole),
            (BEFORE, Wanted::Whole),
            ("*", Wanted::Whole),
        ] {
            let headers = [(header::RANGE, "bytes=0-0"), (header::IF_RANGE, condition)];
            assert_eq!(asked(&Method::GET, 100, &headers), wanted, "{condition}");
        }
    }

    /// A file restored from an archive may have any time.
    #[test]
    fn date_that_http_can_not_name_becomes_the_nearest_that_it_can() {
        let (epoch, day) = (SystemTime::UNIX_EPOCH, Duration::from_hours(24));
        for (modified, date) in [
            (epoch - day, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (epoch + 3_000_000 * day, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let representation = Representation::new(NAME, modified, 1);
            assert_eq!(representation.validators()[1].1, date);
            let headers = [(header::IF_UNMODIFIED_SINCE, date.parse().unwrap())];
            let asked = representation.asked_for(&Method::GET, &headers.into_iter().collect());
            assert_eq!(asked, Wanted::Whole, "{date}");
        }
    }

    #[test]
    fn conditions_are_checked_in_their_order() {
        let weak = "\"x\", W/\"0123456789abcdef0123456789abcdef.jpg\"";
        for (headers, wanted) in [
            (vec![(header::IF_NONE_MATCH, ETAG)], Wanted::Nothing),
            (vec![(header::IF_NONE_MATCH, weak)], Wanted::Nothing),
            (vec![(header::IF_NONE_MATCH, "*")], Wanted::Nothing),
            (
                vec![(header::IF_NONE_MATCH, "\"x\""), (header::IF_MODIFIED_SINCE, DATE)],
                Wanted::Whole,
            ),
            (vec![(header::IF_MODIFIED_SINCE, DATE)], Wanted::Nothing),
            (vec![(header::IF_MODIFIED_SINCE, BEFORE)], Wanted::Whole),
            (vec![(header::IF_MODIFIED_SINCE, "yesterday")], Wanted::Whole),
            (vec![(header::IF_MATCH, ETAG)], Wanted::Whole),
            (vec![(header::IF_MATCH, weak)], Wanted::Changed),
            (
                vec![(header::IF_MATCH, "*"), (header::IF_UNMODIFIED_SINCE, BEFORE)],
                Wanted::Whole,
            ),
            (vec![(header::IF_UNMODIFIED_SINCE, BEFORE)], Wanted::Changed),
            (vec![(header::IF_UNMODIFIED_SINCE, DATE)], Wanted::Whole),
            (
                vec![(header::IF_NONE_MATCH, ETAG), (header::RANGE, "bytes=0-0")],
                Wanted::Nothing,
            ),
        ] {
            assert_eq!(asked(&Method::GET, 100, &headers), wanted, "{headers:?}");
        }
    }
}
