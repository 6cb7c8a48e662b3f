//! Pictures in an upload service: `multipart/form-data` in, JSON out.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure};
use crate::http_client::{self, ReadError, SendError};
use crate::settings::{self, resolved, values::JsonPointer};
use crate::telemetry;

/// The longest answer that is read, in bytes: it has little more than a URL in it.
const MAX_ANSWER: usize = 64 * 1024;
/// The limit of making a connection; an upload service is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An upload service.
pub struct HttpStore {
    http: Client,
    settings: resolved::HttpStore,
}

impl HttpStore {
    /// A client for the service in `settings`; nothing is sent yet.
    pub fn open(settings: &resolved::HttpStore, http: &settings::HttpClient) -> Result<Self, OpenError> {
        let http = http_client::build(http, CONNECT_TIMEOUT.min(settings.timeout));
        Ok(Self {
            http: http.map_err(|error| OpenError::new(error.key(), error.to_string()))?,
            settings: settings.clone(),
        })
    }

    async fn post(&self, picture: Picture) -> Result<String, StoreFailure> {
        let (url, limit) = (self.settings.url.clone(), self.settings.timeout);
        let mut headers = self.settings.headers.clone();
        telemetry::inject(&mut headers);
        let form = Form::new()
            .percent_encode_noop()
            .part(escape_name(&self.settings.field), part(picture)?);
        let request = self.http.post(url).multipart(form).headers(headers);
        let exchange = async { read(http_client::send(request, limit).await?, limit).await };
        let answer = timeout(limit, exchange).await.unwrap_or(Err(StoreFailure::TimedOut));
        self.stored_url(&answer?)
    }

    async fn ask(&self) -> Result<(), StoreFailure> {
        // A service that accepts only POST may answer 404 or 405: that shows that it is up.
        let request = self.http.request(Method::OPTIONS, self.settings.url.clone());
        let request = request.headers(self.settings.headers.clone());
        let status = http_client::send(request, self.settings.timeout).await?.status();
        let refuses = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if refuses || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED) {
            return Err(answered_with(status));
        }
        Ok(())
    }

    /// The picture's URL, if `answer` reports success.
    fn stored_url(&self, answer: &Value) -> Result<String, StoreFailure> {
        let refused = |found, pointer: &JsonPointer, but: &str| {
            let found = describe(found);
            StoreFailure::Refused(format!("its answer has {found} at {}{but}", pointer.as_str()))
        };
        let pointer = &self.settings.success_pointer;
        if !pointer.is_empty() {
            let found = pointer.resolve(answer);
            if !found.is_some_and(|found| self.settings.success_value.matches(found)) {
                return Err(refused(found, pointer, ""));
            }
        }
        let pointer = &self.settings.url_pointer;
        let found = pointer.resolve(answer);
        match found.and_then(Value::as_str) {
            Some(url) if !url.trim().is_empty() => Ok(url.to_owned()),
            _ => Err(refused(found, pointer, ", not a URL")),
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
        self.settings.attempts
    }

    fn time_limit(&self) -> Duration {
        self.settings.timeout
    }
}

/// `picture` as the form's file. If its length is known, the request has a Content-Length.
fn part(picture: Picture) -> Result<Part, StoreFailure> {
    let body = Body::wrap_stream(picture.body);
    let part = match picture.length {
        Some(length) => Part::stream_with_length(body, length),
        None => Part::stream(body),
    };
    part.file_name(ImageName::random(picture.kind).to_string())
        .mime_str(picture.kind.media_type())
        .map_err(|error| StoreFailure::Broken(error.to_string()))
}

/// A form field's name, escaped as browsers do it (WHATWG HTML, "multipart form data"). reqwest itself writes
/// `name*=` for such names, which forms must not have (RFC 7578, section 4.2).
fn escape_name(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Reads the JSON of a successful answer.
async fn read(answer: Response, stall: Duration) -> Result<Value, StoreFailure> {
    let status = answer.status();
    if !status.is_success() {
        return Err(answered_with(status));
    }
    let text = http_client::whole(answer, MAX_ANSWER, stall).await?;
    let text = text.ok_or_else(|| StoreFailure::Refused(format!("its answer is longer than {MAX_ANSWER} bytes")))?;
    serde_json::from_slice(&text).map_err(|_| StoreFailure::Refused("its answer is not JSON".to_owned()))
}

fn answered_with(status: StatusCode) -> StoreFailure {
    StoreFailure::Refused(format!("it answered with HTTP status {status}"))
}

/// A value of an answer for the log. Texts are left out: they could be secrets.
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

impl From<SendError> for StoreFailure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TimedOut => Self::TimedOut,
            SendError::Connect(_) | SendError::Broken(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<ReadError> for StoreFailure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stalled => Self::TimedOut,
            ReadError::CutOff => Self::Broken("its answer was cut off".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_name_can_not_end_its_line_or_its_quotes() {
        assert_eq!(escape_name("文件[a b]"), "文件[a b]");
        assert_eq!(escape_name("a\"; b\r\nc"), "a%22; b%0D%0Ac");
    }
}
