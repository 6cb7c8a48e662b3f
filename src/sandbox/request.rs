//! A complete request with decoded parameters, and forms with files.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;

/// A complete request.
pub(super) struct Request {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) peer: IpAddr,
}

impl Request {
    /// The query parameter with this name, decoded; empty if it is missing, which WeChat does not distinguish.
    pub(super) fn param(&self, name: &str) -> Cow<'_, str> {
        param(self.head.uri.query(), name)
    }
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// The parameter `name` of `query`, decoded as a form; empty if it is missing.
pub(super) fn param<'a>(query: Option<&'a str>, name: &str) -> Cow<'a, str> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map_or_else(Cow::default, |(_, value)| value)
}

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) bytes: Bytes,
}

/// The parts of `body` up to the first malformed one; none if `content_type` is not `multipart/form-data`.
pub(super) fn form_parts(content_type: &str, body: &Bytes) -> Vec<Part> {
    let Some(boundary) = boundary(content_type) else {
        return Vec::new();
    };
    let delimiter = format!("\r\n--{boundary}");
    // The first one may lack its line break.
    let first = &delimiter.as_bytes()[2..];
    let mut at = find(body, first, 0).map_or(body.len(), |start| start + first.len());
    let mut found = Vec::new();
    while body[at..].starts_with(b"\r\n")
        && let Some(head_end) = find(body, b"\r\n\r\n", at)
        && let Some(end) = find(body, delimiter.as_bytes(), head_end + 2)
    {
        let content = body.slice((head_end + 4).min(end)..end);
        // A part without headers begins with the empty line itself.
        found.extend(part(body.get(at + 2..head_end).unwrap_or_default(), content));
        at = end + delimiter.len();
    }
    found
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// `None` if the part has no name, which a form requires.
fn part(head: &[u8], bytes: Bytes) -> Option<Part> {
    let head = String::from_utf8_lossy(head);
    let header = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let disposition = header("content-disposition")?;
    Some(Part {
        name: parameter(disposition, "name")?.to_owned(),
        filename: parameter(disposition, "filename").map(str::to_owned),
        content_type: header("content-type").map(str::to_owned),
        bytes,
    })
}

fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';')
        .filter_map(|piece| piece.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

fn find(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|&byte| byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xYz\"";

    #[test]
    fn parts_are_found_with_their_names() {
        let body = Bytes::from_static(
            b"--xYz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n--x\r\n\
              --xYz\r\ncontent-disposition: form-data; name=media; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
              \x89PNG\r\n\r\n\r\n--xYz--\r\n",
        );
        let parts = form_parts(TYPE, &body);
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].name.as_str(), &parts[0].bytes[..]),
            ("note", &b"hi\r\n--x"[..])
        );
        let part = Part {
            name: "media".to_owned(),
            filename: Some("a.png".to_owned()),
            content_type: Some("image/png".to_owned()),
            bytes: Bytes::from_static(b"\x89PNG\r\n\r\n"),
        };
        assert_eq!(parts[1], part);
    }

    #[test]
    fn malformed_or_truncated_form_has_no_parts() {
        for (content_type, body) in [
            ("text/plain; boundary=xYz", "--xYz\r\n\r\n\r\n--xYz--"),
            ("multipart/form-data", "--\r\n\r\n\r\n--"),
            (TYPE, ""),
            (TYPE, "--xYz"),
            (TYPE, "--xYz\r\n"),
            (TYPE, "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\nno end"),
            (TYPE, "--xYz\r\nContent-Type: a/b\r\n\r\nno name\r\n--xYz--"),
            (TYPE, "--xYz\r\n\r\n--xYz--"),
        ] {
            assert_eq!(form_parts(content_type, &Bytes::from(body)), [], "{body:?}");
        }
    }
}
