//! Pictures in an upload service: `multipart/form-data` in, JSON out.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Method, Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure};
use crate::settings::{self, values::JsonPointer, values::Scalar};

/// The longest answer that is read, in bytes: it holds little more than a URL.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest that a connection may take to stand; an upload service is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const URL: &str = "image_store.http.url";
const HEADERS: &str = "image_store.http.headers";

/// An upload service.
pub struct HttpStore {
    client: Client,
    url: Url,
    field: String,
    success_pointer: JsonPointer,
    success_value: Scalar,
    url_pointer: JsonPointer,
    timeout: Duration,
    attempts: u32,
}

impl HttpStore {
    /// A client for the service that `settings` describe; nothing is sent yet.
    pub fn open(settings: &settings::HttpStore) -> Result<Self, OpenError> {
        let url = settings.url.clone();
        let url = url.ok_or_else(|| OpenError::new(URL, "missing: the address where pictures are posted"))?;
        let client = Client::builder()
            .user_agent(concat!("wxgate/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(settings)?)
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            // A redirected upload would arrive without its body, and its headers are for this host alone.
            .redirect(redirect::Policy::none())
            // A proxy in the environment is there to reach WeChat; this service is the company's own.
            .no_proxy()
            // Over HTTP/2 up to 1 MiB of each picture would wait in memory for a slow service.
            .http1_only()
            .build()
            .map_err(|error| OpenError::new(URL, tell(error)))?;
        Ok(Self {
            client,
            url,
            field: settings.field.clone(),
            success_pointer: settings.success_pointer.clone(),
            success_value: settings.success_value.clone(),
            url_pointer: settings.url_pointer.clone(),
            timeout: settings.timeout,
            attempts: settings.attempts,
        })
    }

    async fn post(&self, picture: Picture) -> Result<String, StoreFailure> {
        let name = ImageName::random(picture.kind);
        let body = Body::wrap_stream(picture.body);
        let part = match picture.length {
            Some(length) => Part::stream_with_length(body, length),
            None => Part::stream(body),
        };
        let part = part
            .file_name(name.to_string())
            .mime_str(picture.kind.media_type())
            .map_err(failed)?;
        let form = Form::new().part(self.field.clone(), part);
        let answer = self.client.post(self.url.clone()).multipart(form).send().await;
        self.stored_url(&read(answer.map_err(failed)?).await?)
    }

    async fn ask(&self) -> Result<(), StoreFailure> {
        // A service that takes nothing but POST may well answer 404 or 405 to this: it is there.
        let answer = self.client.request(Method::OPTIONS, self.url.clone()).send().await;
        let status = answer.map_err(failed)?.status();
        let refuses = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if refuses || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED) {
            return Err(answered_with(status));
        }
        Ok(())
    }

    /// The picture's URL, if `answer` tells success.
    fn stored_url(&self, answer: &Value) -> Result<String, StoreFailure> {
        if !self.success_pointer.is_empty() {
            let told = self.success_pointer.resolve(answer);
            if !told.is_some_and(|told| self.success_value.matches(told)) {
                let at = self.success_pointer.as_str();
                return Err(StoreFailure::Refused(format!(
                    "its answer has {} at {at}",
                    describe(told)
                )));
            }
        }
        let found = self.url_pointer.resolve(answer);
        match found.and_then(Value::as_str) {
            Some(url) if !url.trim().is_empty() => Ok(url.to_owned()),
            _ => {
                let at = self.url_pointer.as_str();
                Err(StoreFailure::Refused(format!(
                    "its answer has {} at {at}, not a URL",
                    describe(found)
                )))
            }
        }
    }
}

impl ImageStore for HttpStore {
    fn put(&self, picture: Picture) -> BoxFuture<'_, Result<String, StoreFailure>> {
        self.post(picture).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreFailure>> {
        self.ask().boxed()
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn time_limit(&self) -> Duration {
        self.timeout
    }
}

/// The operator's headers, marked so that nothing prints their values.
fn headers(settings: &settings::HttpStore) -> Result<HeaderMap, OpenError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let refuse = |problem| OpenError::new(HEADERS, format!("{name}: {problem}"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("not the name of a header"))?;
        if [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
            return Err(refuse("set by the upload itself, leave it out"));
        }
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| refuse("its value (not shown) has characters that a header can't hold"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

/// Reads a good answer's JSON.
async fn read(mut answer: Response) -> Result<Value, StoreFailure> {
    let status = answer.status();
    if !status.is_success() {
        return Err(answered_with(status));
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        text.extend_from_slice(&piece);
        if text.len() > MAX_ANSWER {
            return Err(StoreFailure::Refused(format!(
                "its answer is longer than {MAX_ANSWER} bytes"
            )));
        }
    }
    serde_json::from_slice(&text).map_err(|_| StoreFailure::Refused("its answer is not JSON".to_owned()))
}

fn answered_with(status: StatusCode) -> StoreFailure {
    StoreFailure::Refused(format!("it answered with HTTP status {status}"))
}

/// What stands in an answer, without its texts: they could be anything, a secret too.
fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value.to_string(),
        Some(Value::String(text)) if text.trim().is_empty() => "a blank text".to_owned(),
        Some(Value::String(_)) => "another text".to_owned(),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}

fn failed(error: reqwest::Error) -> StoreFailure {
    if error.is_timeout() {
        StoreFailure::TimedOut
    } else {
        StoreFailure::Broken(tell(error))
    }
}

/// What went wrong, without the URL, whose query may hold a key.
fn tell(error: reqwest::Error) -> String {
    super::with_causes(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_operators_headers_are_never_printed() {
        let settings = settings::HttpStore {
            headers: [("X-Key".to_owned(), Secret::new("hunter2"))].into(),
            ..Default::default()
        };
        let headers = headers(&settings).unwrap();
        assert_eq!(headers["x-key"], "hunter2");
        assert_eq!(format!("{headers:?}"), r#"{"x-key": Sensitive}"#);
    }
}
