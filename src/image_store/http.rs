//! Pictures in an upload service: `multipart/form-data` in, JSON out.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::form::{FieldName, Form};
use super::{ImageName, ImageStore, OpenError, Picture, StoreFailure};
use crate::settings::{resolved, values::JsonPointer, values::Scalar};
use crate::telemetry;
use crate::wire::{BodyError, Pieces, Wire, WireError};

/// The longest answer that is read, in bytes: it holds little more than a URL.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest that a connection may take to stand; an upload service is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const URL: &str = "image_store.http.url";

/// An upload service.
pub struct HttpStore {
    wire: Wire,
    headers: HeaderMap,
    url: Uri,
    field: FieldName,
    success_pointer: JsonPointer,
    success_value: Scalar,
    url_pointer: JsonPointer,
    timeout: Duration,
    attempts: u32,
}

impl HttpStore {
    /// A client for the service that `settings` describe; nothing is sent yet.
    pub fn open(settings: &resolved::HttpStore) -> Result<Self, OpenError> {
        let url = Uri::try_from(settings.url.as_str()).map_err(|error| OpenError::new(URL, error.to_string()))?;
        let wire = Wire::outbound(CONNECT_TIMEOUT.min(settings.timeout));
        let wire = wire.map_err(|error| OpenError::new(URL, error.to_string()))?;
        Ok(Self {
            wire,
            headers: settings.headers.clone(),
            url,
            field: FieldName::new(&settings.field),
            success_pointer: settings.success_pointer.clone(),
            success_value: settings.success_value.clone(),
            url_pointer: settings.url_pointer.clone(),
            timeout: settings.timeout,
            attempts: settings.attempts,
        })
    }

    async fn post(&self, picture: Picture) -> Result<String, StoreFailure> {
        let form = Form::of(&self.field, &ImageName::random(picture.kind), picture);
        let request = Request::post(self.url.clone()).header(CONTENT_TYPE, form.content_type);
        let request = request.body(form.body);
        let mut request = request.map_err(|error| StoreFailure::Broken(error.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        if let Some(length) = form.length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        telemetry::inject(headers);
        let conversation = async {
            let answer = self.wire.send(request, self.timeout).await?;
            read(answer, self.timeout).await
        };
        let answer = timeout(self.timeout, conversation)
            .await
            .unwrap_or(Err(StoreFailure::TimedOut));
        self.stored_url(&answer?)
    }

    async fn ask(&self) -> Result<(), StoreFailure> {
        // A service that takes nothing but POST may well answer 404 or 405 to this: it is there.
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let status = self.wire.send(request, self.timeout).await?.status();
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

/// Reads a good answer's JSON.
async fn read(answer: Response<Incoming>, stall: Duration) -> Result<Value, StoreFailure> {
    let status = answer.status();
    if !status.is_success() {
        return Err(answered_with(status));
    }
    let text = Pieces::of(answer.into_body(), stall).whole(MAX_ANSWER).await?;
    let text = text.ok_or_else(|| StoreFailure::Refused(format!("its answer is longer than {MAX_ANSWER} bytes")))?;
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

impl From<WireError> for StoreFailure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::TimedOut => Self::TimedOut,
            WireError::Connect(_) | WireError::Broken(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<BodyError> for StoreFailure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Stalled => Self::TimedOut,
            BodyError::CutOff => Self::Broken("its answer was cut off".to_owned()),
        }
    }
}
