//! A body whose beginning can be read before it is passed on as a stream.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::timeout;

/// What has been read, and the rest as a stream.
pub(super) struct PeekedBody<E> {
    head: BytesMut,
    rest: Option<BoxStream<'static, Result<Bytes, E>>>,
}

/// The body broke off, or no chunk of it arrived in time.
#[derive(Debug)]
pub(super) struct Incomplete;

impl<E: Send + 'static> PeekedBody<E> {
    /// `body`, of which nothing has been read.
    pub(super) fn of(body: BoxStream<'static, Result<Bytes, E>>) -> Self {
        Self {
            head: BytesMut::new(),
            rest: Some(body),
        }
    }

    /// Reads until more than `length` bytes are here, or the body ends. No chunk may take longer than
    /// `stall`.
    pub(super) async fn read_beyond(&mut self, length: usize, stall: Duration) -> Result<(), Incomplete> {
        while let Some(rest) = self.rest.as_mut().filter(|_| self.head.len() <= length) {
            match timeout(stall, rest.next()).await {
                Ok(Some(Ok(piece))) => self.head.extend_from_slice(&piece),
                Ok(None) => self.rest = None,
                Ok(Some(Err(_))) | Err(_) => return Err(Incomplete),
            }
        }
        Ok(())
    }

    /// What has been read.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// True if the whole body has been read.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The body in one piece, or as a stream of what was read and what follows.
    pub(super) fn into_body(self) -> Result<Bytes, BoxStream<'static, Result<Bytes, E>>> {
        let head = self.head.freeze();
        match self.rest {
            None => Ok(head),
            Some(rest) if head.is_empty() => Err(rest),
            Some(rest) => Err(stream::iter([Ok(head)]).chain(rest).boxed()),
        }
    }
}
