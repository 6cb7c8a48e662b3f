//! Temporary media: `GET /cgi-bin/media/get`.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::{Response, StatusCode};

use super::answer::{Answer, MAX_JSON};
use super::{BodyProblem, CallError};
use crate::http_client;
use crate::picture::Kind;

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
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A media file that is being downloaded. All that is known is that it is not an error in JSON.
pub struct MediaDownload {
    /// The announced length in bytes.
    pub content_length: Option<u64>,
    /// The first bytes: [`crate::picture::Kind::HEAD`] at least, unless the file is shorter.
    pub head: Bytes,
    /// What follows `head`. Each wait for the next chunk ends after `wechat.timeout`; a body shorter than
    /// announced ends with [`CallError::Body`].
    pub rest: BoxStream<'static, Result<Bytes, CallError>>,
}

/// Opens `response` as a media file. WeChat sends errors with status 200 and under any content type,
/// and files under `text/plain`, so only the bytes decide: what begins with `{` is JSON.
pub(super) async fn open(response: Response, stall: Duration) -> Result<MediaDownload, CallError> {
    if response.status() != StatusCode::OK {
        return Err(CallError::Status(response.status()));
    }
    let content_length = response.content_length();
    let mut rest = http_client::chunks(response, stall).map_err(CallError::from).boxed();
    let mut head = rest.try_next().await?.unwrap_or_default();
    if head.len() < Kind::HEAD {
        head = gather(&mut rest, head.into(), Kind::HEAD).await?.freeze();
    }
    if head.is_empty() {
        return Err(CallError::Body(BodyProblem::Empty));
    }
    if head.trim_ascii_start().first() == Some(&b'{') {
        let body = gather(&mut rest, head.into(), MAX_JSON).await?;
        return Err(json_in_place_of_a_file(&body));
    }
    Ok(MediaDownload {
        content_length,
        head,
        rest,
    })
}

/// Reads on until `gathered` has `enough` bytes or the body ends.
async fn gather(
    rest: &mut BoxStream<'static, Result<Bytes, CallError>>,
    mut gathered: BytesMut,
    enough: usize,
) -> Result<BytesMut, CallError> {
    while gathered.len() < enough {
        let Some(chunk) = rest.next().await else { break };
        gathered.extend_from_slice(&chunk?);
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
