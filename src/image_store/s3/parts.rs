//! Cutting a picture into parts of a multipart upload.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::MultipartId;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use tokio_util::sync::CancellationToken;

use super::error::failed;
use crate::image_store::{StoreFailure, body_failed};

/// The size of a part: the smallest that S3 takes, except for the last one.
pub(super) const PART: usize = 5 * 1024 * 1024;

/// A picture's body, cut into parts.
pub(super) struct Parts<'a> {
    body: BoxStream<'static, io::Result<Bytes>>,
    /// What did not fit into the part before: some stores want all parts but the last to be of one size.
    rest: Bytes,
    cancelled: &'a CancellationToken,
}

impl<'a> Parts<'a> {
    pub(super) fn new(body: BoxStream<'static, io::Result<Bytes>>, cancelled: &'a CancellationToken) -> Self {
        let rest = Bytes::new();
        Self { body, rest, cancelled }
    }

    /// The next part; one shorter than [`PART`] is the last.
    pub(super) async fn next(&mut self) -> Result<Bytes, StoreFailure> {
        // Pages that are not written to cost no memory, so the length need not be known.
        let mut part = BytesMut::with_capacity(PART);
        loop {
            let room = PART - part.len();
            part.extend_from_slice(&self.rest.split_to(room.min(self.rest.len())));
            if part.len() == PART {
                return Ok(part.freeze());
            }
            let chunk = self.cancelled.run_until_cancelled(self.body.next()).await;
            match chunk.ok_or_else(cancelled)? {
                Some(chunk) => self.rest = chunk.map_err(|error| body_failed(&error))?,
                None => return Ok(part.freeze()),
            }
        }
    }

    /// Sends `part` and all that follow, one at a time: the memory of one is freed before the next is
    /// collected. Returns what completes the upload `id`.
    pub(super) async fn send(
        &mut self,
        mut part: Bytes,
        store: &AmazonS3,
        key: &Path,
        id: &MultipartId,
    ) -> Result<Vec<PartId>, StoreFailure> {
        let mut sent = Vec::new();
        while !part.is_empty() {
            let is_last = part.len() < PART;
            let put = store.put_part(key, id, sent.len(), part.into());
            let put = self.cancelled.run_until_cancelled(put).await;
            sent.push(put.ok_or_else(cancelled)?.map_err(|error| failed(&error))?);
            if is_last {
                break;
            }
            part = self.next().await?;
        }
        Ok(sent)
    }
}

fn cancelled() -> StoreFailure {
    StoreFailure::Broken("the upload was cancelled".to_owned())
}
