//! WeChat's response to a call, with as much of its body as had to be read.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::body::SMALL;
use super::headers;
use crate::http_client::{self, HttpError};
use crate::wechat::{TokenRejection, begins_as_json};

pub(super) struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    /// What has been read of the body.
    head: BytesMut,
    /// What has not been read; `None` once the body has ended.
    rest: Option<BoxStream<'static, Result<Bytes, HttpError>>>,
}

impl Answered {
    /// `response`, whose body has not been read yet. No chunk of it may take longer than `stall`.
    pub(super) fn new(response: reqwest::Response, stall: Duration) -> Self {
        Self {
            status: response.status(),
            headers: headers::of_answer(response.headers()),
            head: BytesMut::new(),
            rest: Some(http_client::chunks(response, stall).boxed()),
        }
    }

    /// Reads the body if it may be an error.
    pub(super) async fn read_error(&mut self) -> Result<(), HttpError> {
        if self.status == StatusCode::OK {
            self.read_beyond(0).await?;
            if begins_as_json(&self.head) {
                self.read_beyond(SMALL).await?;
            }
        }
        Ok(())
    }

    /// Reads until more than `length` bytes are buffered, or the body ends.
    async fn read_beyond(&mut self, length: usize) -> Result<(), HttpError> {
        while let Some(rest) = self.rest.as_mut().filter(|_| self.head.len() <= length) {
            match rest.try_next().await? {
                Some(piece) => self.head.extend_from_slice(&piece),
                None => self.rest = None,
            }
        }
        Ok(())
    }

    /// WeChat's rejection of the call's token, if the answer is one.
    pub(super) fn rejection(&self) -> Option<TokenRejection> {
        let may_be = self.rest.is_none() && begins_as_json(&self.head);
        may_be
            .then(|| TokenRejection::in_answer(&self.headers, &self.head))
            .flatten()
    }

    pub(super) fn into_response(self) -> Response {
        let head = self.head.freeze();
        let body = match self.rest {
            None => Body::from(head),
            Some(rest) => {
                let head = stream::iter((!head.is_empty()).then_some(Ok(head)));
                Body::from_stream(head.chain(rest))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
