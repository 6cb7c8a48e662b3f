//! `[image_store.http]`: an upload service.

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::needs;
use crate::settings::sections;
use crate::settings::validate::findings::Findings;
use crate::settings::values::UrlPlace;

/// Headers that describe the request's body, which the image store's client writes itself.
const BODY_HEADERS: [&str; 3] = ["content-type", "content-length", "transfer-encoding"];

/// An upload service that takes multipart/form-data.
#[derive(Clone)]
pub struct HttpStore {
    /// Where pictures are posted.
    pub url: Url,
    /// Headers sent along, marked as sensitive so that their values are not printed.
    pub headers: HeaderMap,
    /// The rest of the section.
    pub section: sections::HttpStore,
}

pub(super) fn resolve(http: &sections::HttpStore, findings: &mut Findings) -> Option<HttpStore> {
    let pointed = !matches!(&http.url_pointer, UrlPlace::Json(pointer) if pointer.is_empty());
    needs(
        findings,
        "http.url",
        http.url.is_some(),
        "the address to post pictures to",
    );
    needs(
        findings,
        "http.url_pointer",
        pointed,
        "the location of the picture's URL in the answer",
    );
    needs(
        findings,
        "http.field",
        !http.field.is_empty(),
        "the name of the file's form field",
    );
    let text = "expected a number from 1 to 10";
    findings.require((1..=10).contains(&http.attempts), &["image_store.http.attempts"], text);
    let base = http.public_base_url.as_ref();
    let plain = base.is_none_or(|url| url.query().is_none() && url.fragment().is_none());
    let text = "expected a URL without `?` and `#`, since a path is put after it";
    findings.require(plain, &["image_store.http.public_base_url"], text);
    for name in http.fields.keys() {
        let key = format!("image_store.http.fields.{name}");
        findings.require(!name.trim().is_empty(), &[&key], "expected a form field's name");
        let text = "image_store.http.field has the same name; the picture's field can't hold a text as well";
        findings.require(*name != http.field, &[&key, "image_store.http.field"], text);
    }
    let headers = headers(http, findings);
    Some(HttpStore {
        url: http.url.clone()?,
        headers,
        section: http.clone(),
    })
}

fn headers(http: &sections::HttpStore, findings: &mut Findings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let key = format!("image_store.http.headers.{name}");
        let header = HeaderName::from_bytes(name.as_bytes());
        findings.require(
            header.is_ok(),
            &[&key],
            "expected a header's name, such as Authorization",
        );
        let own = BODY_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        let text = "this header can't be set: it describes the body, which differs from picture to picture";
        findings.require(!own, &[&key], text);
        let value = HeaderValue::from_str(value.expose());
        let text = "expected a header's value, one line of text (it is not shown, it may be secret)";
        findings.require(value.is_ok(), &[&key], text);
        if let (Ok(header), Ok(mut value)) = (header, value) {
            value.set_sensitive(true);
            headers.insert(header, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn header_values_are_never_printed() {
        let settings = sections::HttpStore {
            headers: [("X-Key".to_owned(), Secret::new("hunter2"))].into(),
            ..Default::default()
        };
        let headers = headers(&settings, &mut Findings::default());
        assert_eq!(headers["x-key"], "hunter2");
        assert_eq!(format!("{headers:?}"), r#"{"x-key": Sensitive}"#);
    }
}
