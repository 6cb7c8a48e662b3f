//! The gateway's HTTP client as `object_store` uses it: no answer is longer than it may be, and no redirect is an
//! answer. `object_store` itself would gather an endless one, and forget where a redirect leads.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};

use super::error::{Redirect, region_in};

/// The longest answer in bytes. Answers to uploads are short XML; the only picture that is read back is a check's.
const MAX_ANSWER: usize = 64 * 1024;

/// A client whose answers have a bound.
#[derive(Debug)]
pub(super) struct Bounded(pub(super) reqwest::Client);

impl Bounded {
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = self.0.call(request).await?.into_parts();
        if head.status.is_success() {
            let body =
                Limited::new(body, MAX_ANSWER).map_err(|error| HttpError::new_boxed(HttpErrorKind::Unknown, error));
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)));
        }
        let body = beginning(body).await;
        if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
            let header = head
                .headers
                .get("x-amz-bucket-region")
                .and_then(|region| region.to_str().ok());
            let region = header.or_else(|| region_in(&body)).map(str::to_owned);
            let redirect = Redirect {
                status: head.status,
                region,
            };
            return Err(HttpError::new(HttpErrorKind::Unknown, redirect));
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}

impl HttpService for Bounded {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        self.answer(request).boxed()
    }
}

/// As much of the body of a failure as is read: what it is about comes first.
async fn beginning(mut body: HttpResponseBody) -> String {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let chunk = frame.into_data().unwrap_or_default();
        let room = MAX_ANSWER - read.len();
        read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if read.len() == MAX_ANSWER {
            break;
        }
    }
    String::from_utf8_lossy(&Bytes::from(read)).into_owned()
}
