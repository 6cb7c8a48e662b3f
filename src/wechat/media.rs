//! Temporary media: their ids, `GET /cgi-bin/media/get`, and whether an answer is a file or WeChat's rejection of the
//! token.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::answer::{JsonAnswer, MAX_JSON, begins_as_json};
use super::{BodyProblem, CallError, Meaning};
use crate::http_client;
use crate::picture::{Content, PictureKind};

/// A media file being downloaded. Only answers that are certainly WeChat's errors have been ruled out.
pub struct MediaDownload {
    /// When the download began; `wechat.media_timeout` counts from here.
    pub started: Instant,
    /// The announced length in bytes.
    pub content_length: Option<u64>,
    /// The `Content-Type` that WeChat sent, in lower case. Untrusted.
    pub content_type: Option<String>,
    /// The first bytes: at least [`PictureKind::HEAD`], unless the file is shorter.
    pub head: Bytes,
    /// What follows `head`. Each wait for the next chunk is limited by `wechat.timeout`; a body shorter than announced
    /// ends with [`CallError::Body`].
    pub rest: BoxStream<'static, Result<Bytes, CallError>>,
    /// What this may be instead of a file: WeChat's rejection of the token. Only a probe can tell.
    pub rejection: Option<TokenRejection>,
}

/// A download that failed before there was a file to stream.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct NotOpened {
    pub(super) error: CallError,
    /// Whether any byte of the body had arrived.
    begun: bool,
}

impl NotOpened {
    /// A failure before the first byte of the body.
    pub(super) fn early(error: CallError) -> Self {
        Self { error, begun: false }
    }

    /// A failure after the first byte, or one that must not be retried.
    pub(super) fn late(error: CallError) -> Self {
        Self { error, begun: true }
    }

    /// True if a retry may succeed: WeChat is busy, or did not answer at all.
    pub(super) fn is_transient(&self) -> bool {
        match &self.error {
            CallError::Refused { code, .. } => code.meaning() == Meaning::Busy,
            CallError::TimedOut | CallError::Interrupted(_) | CallError::Body(BodyProblem::CutOff) => !self.begun,
            CallError::Unreachable(_) | CallError::Status(_) | CallError::Body(_) => false,
        }
    }
}

/// Opens `response` as a media file. WeChat sends errors with status 200 and any content type, and files as `text/plain`
/// too; but only files have a `Content-Disposition` header. Without one, a body that begins with `{` is JSON.
pub(super) async fn open(response: Response, stall: Duration, started: Instant) -> Result<MediaDownload, NotOpened> {
    if response.status() != StatusCode::OK {
        return Err(NotOpened::early(CallError::Status(response.status())));
    }
    let headers = response.headers().clone();
    let content_type = content_type(&headers);
    let content_length = response.content_length();
    let mut rest = http_client::chunks(response, stall).map_err(CallError::from).boxed();
    let first = rest.try_next().await.map_err(NotOpened::early)?;
    let first = first.ok_or_else(|| NotOpened::early(CallError::Body(BodyProblem::Empty)))?;
    let mut head = gather(&mut rest, first, PictureKind::HEAD).await?;
    let mut rejection = None;
    if !is_file(&headers) {
        let says = |kind: &str| content_type.as_ref().is_some_and(|text| text.starts_with(kind));
        let is_json = begins_as_json(&head);
        let is_page = match Content::of(&head) {
            Content::Page => !says("image/"),
            Content::Other(_) => says("text/html") && !is_json,
            _ => false,
        };
        if is_page {
            return Err(NotOpened::late(CallError::Body(BodyProblem::Page)));
        }
        if is_json {
            head = gather(&mut rest, head, MAX_JSON).await?;
            let error = json_in_place_of_a_file(&head);
            rejection = TokenRejection::of(error.clone(), &headers).filter(|rejection| !rejection.is_certain);
            if rejection.is_none() {
                return Err(NotOpened::late(error));
            }
        }
    }
    Ok(MediaDownload {
        started,
        content_length,
        content_type,
        head,
        rest,
        rejection,
    })
}

/// Reads until there are `enough` bytes, the `first` ones included, or the body ends.
async fn gather(
    rest: &mut BoxStream<'static, Result<Bytes, CallError>>,
    first: Bytes,
    enough: usize,
) -> Result<Bytes, NotOpened> {
    if first.len() >= enough {
        return Ok(first);
    }
    let mut gathered = BytesMut::from(first);
    while gathered.len() < enough {
        let Some(chunk) = rest.next().await else { break };
        gathered.extend_from_slice(&chunk.map_err(NotOpened::late)?);
    }
    Ok(gathered.freeze())
}

fn json_in_place_of_a_file(body: &[u8]) -> CallError {
    match JsonAnswer::parse(body) {
        Err(refused_or_broken) => refused_or_broken,
        Ok(answer) if answer.text("video_url").is_some() => CallError::Body(BodyProblem::Video),
        Ok(_) => CallError::Body(BodyProblem::Unexpected),
    }
}

/// An answer that reads like WeChat's rejection of the call's token.
///
/// `media/get` returns users' files unchanged, and a user can write `{"errcode":40001}` into one. If the token were
/// dropped because of that, all requests would wait for its renewal.
#[derive(Debug, Clone)]
pub struct TokenRejection {
    /// The refusal.
    pub error: CallError,
    /// False if it may be a user's file. Then the token must be probed before it is dropped.
    pub is_certain: bool,
}

impl TokenRejection {
    /// The rejection of the token in an answer from any API, if there is one.
    pub fn in_answer(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if is_file(headers) {
            return None;
        }
        Self::of(CallError::refusal_in(body)?, headers)
    }

    /// `error`, which was read from an answer with these headers, if it is a rejection of the token.
    fn of(error: CallError, headers: &HeaderMap) -> Option<Self> {
        let CallError::Refused { code, message } = &error else {
            return None;
        };
        // WeChat's own refusals have an `errmsg`, and nowadays a JSON content type.
        let is_json = content_type(headers).is_some_and(|text| text.starts_with("application/json"));
        let is_certain = is_json && !message.is_empty();
        (code.meaning() == Meaning::TokenRejected).then_some(Self { error, is_certain })
    }
}

/// True if an answer is a file, whatever its bytes look like: WeChat gives file names to files and not to errors.
fn is_file(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_DISPOSITION)
}

/// The `Content-Type` in lower case.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.to_ascii_lowercase())
}

/// A media id: 1 to 512 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaId(String);

impl MediaId {
    /// The maximum length of an id. Ids seen in practice have 63 or 64 characters.
    pub const MAX_LEN: usize = 512;

    /// Parses `text`; `None` if it can't be a media id.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(allowed);
        fine.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first characters, enough to search for.
    pub fn start(&self) -> &str {
        const LENGTH: usize = 12;
        // All of its characters are one byte long.
        self.0.get(..LENGTH).unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn file_is_no_refusal_and_plain_text_is_doubtful() {
        const REFUSAL: &str = r#"{"errcode":40001,"errmsg":"invalid credential"}"#;
        const BARE: &str = r#"{"errcode":40001}"#;
        const BUSY: &str = r#"{"errcode":-1,"errmsg":"system error"}"#;
        for (content_type, is_file, body, certain) in [
            ("application/json; encoding=utf-8", false, REFUSAL, Some(true)),
            ("text/plain", false, REFUSAL, Some(false)),
            ("", false, REFUSAL, Some(false)),
            ("application/json", false, BARE, Some(false)),
            ("application/json", true, REFUSAL, None),
            ("text/plain", true, REFUSAL, None),
            ("application/json", false, BUSY, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if is_file {
                headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            }
            let found = TokenRejection::in_answer(&headers, body.as_bytes());
            assert_eq!(found.map(|found| found.is_certain), certain, "{content_type}: {body}");
        }
    }
}
