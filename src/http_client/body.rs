//! Reading an answer's body: as a stream with a stall time-out, or whole up to a limit.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use reqwest::Response;
use tokio::time::timeout;

/// How a body failed to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// It ended early.
    CutOff,
    /// No chunk of it came in time.
    Stalled,
}

/// The body of `answer` as it arrives. Each wait for the next chunk may take `stall` at most; the stream ends
/// after an error.
pub fn chunks(answer: Response, stall: Duration) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static {
    stream::try_unfold(answer, move |mut answer| async move {
        let chunk = next(&mut answer, stall).await?;
        Ok(chunk.map(|chunk| (chunk, answer)))
    })
}

/// The whole body of `answer`; `None` if it is longer than `limit` bytes. Each chunk may take `stall` at most.
pub async fn whole(mut answer: Response, limit: usize, stall: Duration) -> Result<Option<Vec<u8>>, ReadError> {
    let mut whole = Vec::new();
    while let Some(chunk) = next(&mut answer, stall).await? {
        if whole.len() + chunk.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole))
}

async fn next(answer: &mut Response, stall: Duration) -> Result<Option<Bytes>, ReadError> {
    let chunk = timeout(stall, answer.chunk()).await;
    chunk.map_err(|_| ReadError::Stalled)?.map_err(|_| ReadError::CutOff)
}
