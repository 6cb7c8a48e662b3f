//! The request's body: streamed if it is long and its length is known, otherwise gathered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Internal;
use crate::http::internal::answer::Refusal;
use crate::http::text_of;
use crate::wechat::CallBody;

/// Bodies up to this length are kept: those of requests, to change or repeat them; those of responses, to look for an error.
pub(super) const SMALL: usize = 64 * 1024;

/// The maximum length of a chunked body. WeChat's largest uploads have 10 MiB.
const MAX_CHUNKED: usize = 20 * 1024 * 1024;

/// How much of a refused body is read. Many clients read no answer before they have sent their whole body.
const MAX_DRAINED: usize = MAX_CHUNKED;

/// The time limit for gathering a body, which holds its share of `internal.proxy_buffer` meanwhile, and for reading a
/// refused one.
const GATHER_LIMIT: Duration = Duration::from_mins(5);

/// When a caller should retry if `internal.proxy_buffer` is full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request's body.
pub(super) struct ReceivedBody {
    pub(super) body: CallBody,
    /// Its share of `internal.proxy_buffer`.
    _share: Option<OwnedSemaphorePermit>,
}

/// Why a body can't be gathered.
#[derive(Debug, PartialEq, Eq)]
enum GatherError {
    TooLarge,
    BufferFull,
    Incomplete,
}

impl Internal {
    /// Receives a body. One that is short, or whose length is unknown, is gathered within `internal.proxy_buffer`: WeChat
    /// accepts no chunked bodies.
    pub(super) async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<ReceivedBody, Refusal> {
        let stream = body.into_data_stream();
        let length: usize = text_of(headers, header::CONTENT_LENGTH).parse().unwrap_or(0);
        let limit = if headers.contains_key(header::TRANSFER_ENCODING) {
            MAX_CHUNKED
        } else if length <= SMALL {
            SMALL
        } else {
            return Ok(ReceivedBody {
                body: CallBody::Stream(stream.map_err(io::Error::other).boxed(), length),
                _share: None,
            });
        };
        let gathered = gather_in_time(stream, limit, &self.proxy_buffer, self.wechat.stall_limit()).await;
        let (whole, share) = gathered.map_err(|error| self.refuse_body(&error))?;
        Ok(ReceivedBody {
            body: CallBody::Whole(whole),
            _share: share,
        })
    }

    fn refuse_body(&self, error: &GatherError) -> Refusal {
        match error {
            GatherError::TooLarge => self.body_too_large("send a body of more than 20 MiB with a Content-Length"),
            GatherError::BufferFull => {
                let why = "internal.proxy_buffer is full; send this call again later";
                let refusal = self.refuse("proxy_buffer_full", -1, why).with_retry_after(RETRY_AFTER);
                refusal.with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            GatherError::Incomplete => {
                let why = "the request's body was truncated or stalled";
                let refusal = self.refuse("incomplete_body", -1, why);
                refusal.with_status(StatusCode::BAD_REQUEST)
            }
        }
    }

    pub(super) fn body_too_large(&self, why: &str) -> Refusal {
        let refusal = self.refuse("body_too_large", 45001, why);
        refusal.with_status(StatusCode::PAYLOAD_TOO_LARGE)
    }
}

/// A body in one piece, and its share of the buffer.
type Gathered = Result<(Bytes, Option<OwnedSemaphorePermit>), GatherError>;

async fn gather_in_time(stream: BodyDataStream, limit: usize, buffer: &Arc<Semaphore>, stall: Duration) -> Gathered {
    let gathered = timeout(GATHER_LIMIT, gather(stream, limit, buffer, stall)).await;
    gathered.unwrap_or(Err(GatherError::Incomplete))
}

/// The whole body, copied into one piece: chunks of a few bytes would hold the buffers that they were read into.
async fn gather(mut stream: BodyDataStream, limit: usize, buffer: &Arc<Semaphore>, stall: Duration) -> Gathered {
    let (mut whole, mut share) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    let error = loop {
        let chunk = match timeout(stall, stream.next()).await {
            Ok(None) => return Ok((whole.freeze(), share)),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) | Err(_) => return Err(GatherError::Incomplete),
        };
        if whole.len() + chunk.len() > limit {
            break GatherError::TooLarge;
        }
        let more = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(buffer).try_acquire_many_owned(more) else {
            break GatherError::BufferFull;
        };
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        whole.extend_from_slice(&chunk);
    };
    drop((whole, share));
    drain(stream, stall).await;
    Err(error)
}

/// Reads what a caller still sends after its request was refused.
pub(super) async fn drain(mut stream: BodyDataStream, stall: Duration) {
    let reading = async {
        let mut left = MAX_DRAINED;
        while left > 0
            && let Ok(Some(Ok(chunk))) = timeout(stall, stream.next()).await
        {
            left = left.saturating_sub(chunk.len());
        }
    };
    // If that takes longer, the refusal is sent without the rest, and the connection is closed.
    let _ = timeout(GATHER_LIMIT, reading).await;
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    const STALL: Duration = Duration::from_secs(5);

    /// A body of `count` bytes, each after a pause.
    fn dripping(count: usize, pause: Duration) -> BodyDataStream {
        let bytes = stream::iter(0..count).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from_static(b"x"))
        });
        Body::from_stream(bytes).into_data_stream()
    }

    #[tokio::test(start_paused = true)]
    async fn refused_body_that_drips_is_not_read_for_longer_than_an_accepted_one() {
        let began = tokio::time::Instant::now();
        drain(dripping(1_000, Duration::from_secs(4)), STALL).await;
        assert_eq!(began.elapsed(), GATHER_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn share_of_the_buffer_is_free_again_after_five_minutes() {
        let buffer = Arc::new(Semaphore::new(1000));
        let gathered = gather_in_time(dripping(10, Duration::from_secs(4)), 100, &buffer, STALL).await;
        assert_eq!(gathered.as_ref().unwrap().0.len(), 10);
        assert_eq!(buffer.available_permits(), 990);
        drop(gathered);
        for (body, expected) in [
            (dripping(99, Duration::from_secs(4)), GatherError::Incomplete),
            (dripping(1, Duration::from_secs(6)), GatherError::Incomplete),
            (dripping(101, Duration::ZERO), GatherError::TooLarge),
        ] {
            let error = gather_in_time(body, 100, &buffer, STALL).await.unwrap_err();
            assert_eq!(error, expected);
            assert_eq!(buffer.available_permits(), 1000);
        }
    }
}
