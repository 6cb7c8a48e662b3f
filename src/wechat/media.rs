//! Temporary media: `GET /cgi-bin/media/get`.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::answer::{Answer, MAX_JSON};
use super::token_rejection::{TokenRejection, is_file};
use super::{BodyProblem, CallError, Meaning};
use crate::http_client;
use crate::picture::{Content, Kind};

/// A media id as WeChat gives it: 1 to 512 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaId(String);

impl MediaId {
    /// The longest that is accepted. Ids seen have 63 or 64 characters.
    pub const MAX_LEN: usize = 512;

    /// Parses `text`; `None` if it can't be a media id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fine = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(allowed);
        fine.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first characters, enough to find it by.
    #[must_use]
    pub fn start(&self) -> &str {
        const LENGTH: usize = 12;
        // All of its characters are one byte long.
        self.0.get(..LENGTH).unwrap_or(&self.0)
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A media file that is being downloaded. All that is known is that it is not certainly an error of WeChat's.
pub struct MediaDownload {
    /// When the download began; `wechat.media_timeout` counts from here.
    pub started: Instant,
    /// The announced length in bytes.
    pub content_length: Option<u64>,
    /// What WeChat says that it is, in lower case. Not to be trusted.
    pub content_type: Option<String>,
    /// The first bytes: [`crate::picture::Kind::HEAD`] at least, unless the file is shorter.
    pub head: Bytes,
    /// What follows `head`. Each wait for the next chunk ends after `wechat.timeout`; a body shorter than
    /// announced ends with [`CallError::Body`].
    pub rest: BoxStream<'static, Result<Bytes, CallError>>,
    /// True if this may as well be WeChat's refusal of the token, which only a probe can decide.
    pub may_be_rejection: bool,
}

/// A download that failed before there was a file to stream.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct NotOpened {
    pub(super) error: CallError,
    /// Whether a byte of the body had come.
    begun: bool,
}

impl NotOpened {
    /// Before the first byte.
    pub(super) fn early(error: impl Into<CallError>) -> Self {
        let error = error.into();
        Self { error, begun: false }
    }

    fn late(error: CallError) -> Self {
        Self { error, begun: true }
    }

    /// WeChat's time for the whole download is over.
    pub(super) fn out_of_time() -> Self {
        Self::late(CallError::TimedOut)
    }

    /// True if another attempt may well succeed: WeChat is busy, or it said nothing at all.
    pub(super) fn is_passing(&self) -> bool {
        match &self.error {
            CallError::Refused { code, .. } => code.meaning() == Meaning::Busy,
            CallError::TimedOut | CallError::Interrupted(_) | CallError::Body(BodyProblem::CutOff) => !self.begun,
            CallError::Unreachable(_) | CallError::Status(_) | CallError::Body(_) => false,
        }
    }
}

/// Opens `response` as a media file. WeChat sends errors with status 200 and under any content type, and files under
/// `text/plain`; but only files have a name (`Content-disposition`). Without one, what begins with `{` is JSON.
pub(super) async fn open(response: Response, stall: Duration, started: Instant) -> Result<MediaDownload, NotOpened> {
    if response.status() != StatusCode::OK {
        return Err(NotOpened::early(CallError::Status(response.status())));
    }
    let headers = response.headers().clone();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_ascii_lowercase);
    let content_length = response.content_length();
    let mut rest = http_client::chunks(response, stall).map_err(CallError::from).boxed();
    let first = rest.try_next().await.map_err(NotOpened::early)?;
    let mut head = first.ok_or_else(|| NotOpened::early(CallError::Body(BodyProblem::Empty)))?;
    if head.len() < Kind::HEAD {
        head = gather(&mut rest, head.into(), Kind::HEAD).await?.freeze();
    }
    let mut may_be_rejection = false;
    if !is_file(&headers) {
        let says_picture = content_type.as_ref().is_some_and(|text| text.starts_with("image/"));
        if Content::of(&head) == Content::Page && !says_picture {
            return Err(NotOpened::late(CallError::Body(BodyProblem::Page)));
        }
        if head.trim_ascii_start().first() == Some(&b'{') {
            head = gather(&mut rest, head.into(), MAX_JSON).await?.freeze();
            let error = json_in_place_of_a_file(&head);
            let doubtful = TokenRejection::of(error.clone(), &headers).filter(|rejection| !rejection.is_certain);
            if doubtful.is_none() {
                return Err(NotOpened::late(error));
            }
            may_be_rejection = true;
        }
    }
    Ok(MediaDownload {
        started,
        content_length,
        content_type,
        head,
        rest,
        may_be_rejection,
    })
}

/// Reads on until `gathered` has `enough` bytes or the body ends.
async fn gather(
    rest: &mut BoxStream<'static, Result<Bytes, CallError>>,
    mut gathered: BytesMut,
    enough: usize,
) -> Result<BytesMut, NotOpened> {
    while gathered.len() < enough {
        let Some(chunk) = rest.next().await else { break };
        gathered.extend_from_slice(&chunk.map_err(NotOpened::late)?);
    }
    Ok(gathered)
}

fn json_in_place_of_a_file(body: &[u8]) -> CallError {
    match Answer::parse(body) {
        Err(refused_or_broken) => refused_or_broken,
        Ok(answer) if answer.text("video_url").is_some() => CallError::Body(BodyProblem::Video),
        Ok(_) => CallError::Body(BodyProblem::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn media_id_is_kept_unchanged_or_refused(text in "[A-Za-z0-9_-]{0,70}|\\PC{0,8}|[a-z]{510,514}") {
            let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            let id = MediaId::parse(&text);
            prop_assert_eq!(id.is_some(), allowed && (1..=512).contains(&text.len()));
            if let Some(id) = id {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
