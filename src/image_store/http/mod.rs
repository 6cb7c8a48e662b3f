//! Pictures in an upload service: `multipart/form-data` in, JSON or a bare URL out.

mod answer;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, Method, StatusCode};

use self::answer::{MessageReader, StoreAnswer};
use super::{ImageName, ImageStore, Picture, StoreFailure};
use crate::http_client::{self, HttpError, LastActivity, NO_LIMIT};
use crate::settings::{self, UnusableSetting, resolved};
use crate::telemetry;

/// The time limit for connecting; an upload service is nearby.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An upload service.
pub struct HttpStore {
    http: Client,
    settings: resolved::HttpStore,
    messages: MessageReader,
}

impl HttpStore {
    /// A client for the service in `settings`; nothing is sent yet.
    pub fn open(settings: &resolved::HttpStore, http: &settings::HttpClient) -> Result<Self, UnusableSetting> {
        Ok(Self {
            http: http_client::build(http, CONNECT_TIMEOUT.min(settings.section.timeout))?,
            messages: MessageReader::without_secrets_of(settings),
            settings: settings.clone(),
        })
    }
}

#[async_trait]
impl ImageStore for HttpStore {
    async fn put(&self, picture: Picture) -> Result<String, StoreFailure> {
        let section = &self.settings.section;
        let mut headers = self.settings.headers.clone();
        telemetry::inject(&mut headers);
        // The fields come first, so that a service that reads the form as it arrives has them when the file begins.
        let mut form = Form::new().percent_encode_noop();
        for (name, value) in &section.fields {
            form = form.text(escape_name(name), value.expose().to_owned());
        }
        let activity = LastActivity::default();
        let form = form.part(escape_name(&section.field), part(picture, &activity)?);
        let request = self.http.post(self.settings.url.clone()).headers(headers);
        let request = request.multipart(form);
        let (limit, place) = (section.timeout, &section.url_pointer);
        let exchange = async { StoreAnswer::read(http_client::send(request, NO_LIMIT).await?, limit, place).await };
        // WeChat may take longer than the limit to send the picture.
        let answer = activity.or_stalled(limit, exchange).await;
        let answer = answer.unwrap_or(Err(StoreFailure::TimedOut))?;
        answer.picture_url(section, &self.messages)
    }

    async fn probe(&self) -> Result<(), StoreFailure> {
        // A service that accepts only POST may answer 404 or 405, which shows that it is up.
        let request = self.http.request(Method::OPTIONS, self.settings.url.clone());
        let request = request.headers(self.settings.headers.clone());
        let answer = http_client::send(request, self.time_limit()).await?;
        let status = answer.status();
        let refuses = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if refuses || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED) {
            let text = format!("it answered with HTTP status {status}");
            return Err(StoreFailure::answered(status, text));
        }
        Ok(())
    }

    fn attempts(&self) -> u32 {
        self.settings.section.attempts
    }

    fn time_limit(&self) -> Duration {
        self.settings.section.timeout
    }
}

/// `picture` as the form's file, whose chunks count as `activity`. If its length is known, the request has a Content-Length.
fn part(picture: Picture, activity: &LastActivity) -> Result<Part, StoreFailure> {
    let body = Body::wrap_stream(activity.watch(picture.body));
    let part = match picture.length {
        Some(length) => Part::stream_with_length(body, length),
        None => Part::stream(body),
    };
    part.file_name(ImageName::random(picture.kind).as_str().to_owned())
        .mime_str(picture.kind.media_type())
        .map_err(|error| StoreFailure::Broken(error.to_string()))
}

/// A form field's name, escaped as browsers do (WHATWG HTML, "multipart form data"). reqwest itself would write `name*=`
/// for such names, which is not allowed in forms (RFC 7578, section 4.2).
fn escape_name(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

impl From<HttpError> for StoreFailure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TimedOut => Self::TimedOut,
            error => Self::Broken(error.to_string()),
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
