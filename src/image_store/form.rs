//! `multipart/form-data` of one part, the picture.

use std::future::ready;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::{ImageName, Picture};
use crate::wire::Outgoing;

/// A form field's name, escaped as browsers do it (WHATWG HTML, "multipart form data").
pub(super) struct FieldName(String);

impl FieldName {
    pub(super) fn new(name: &str) -> Self {
        Self(name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A"))
    }
}

/// A picture as a form (RFC 7578), ready to be posted.
pub(super) struct Form {
    pub(super) content_type: String,
    /// In bytes, where the picture's is known.
    pub(super) length: Option<u64>,
    pub(super) body: Outgoing,
}

impl Form {
    /// `picture` as a file called `name`, in the field `field`.
    pub(super) fn of(field: &FieldName, name: &ImageName, picture: Picture) -> Self {
        // Nobody can guess it, so nobody can send a picture that holds it.
        let boundary = &hex::encode(rand::random::<[u8; 16]>());
        let head = [
            "--",
            boundary,
            "\r\nContent-Disposition: form-data; name=\"",
            &field.0,
            "\"; filename=\"",
            name.as_str(),
            "\"\r\nContent-Type: ",
            picture.kind.media_type(),
            "\r\n\r\n",
        ]
        .concat();
        let tail = Bytes::from(["\r\n--", boundary, "--\r\n"].concat());
        let before_tail = picture.length.map(|length| head.len() as u64 + length);
        let body = stream::once(ready(Ok(Bytes::from(head)))).chain(picture.body);
        Self {
            content_type: ["multipart/form-data; boundary=", boundary].concat(),
            length: before_tail.map(|length| length + tail.len() as u64),
            body: Outgoing::with_tail(Body::from_stream(body), before_tail, tail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_name_can_not_end_its_line_or_its_quotes() {
        assert_eq!(FieldName::new("文件[a b]").0, "文件[a b]");
        assert_eq!(FieldName::new("a\"; b\r\nc").0, "a%22; b%0D%0Ac");
    }
}
