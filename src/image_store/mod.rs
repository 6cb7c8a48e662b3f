//! Where pictures go: a folder, an upload service or an S3-compatible store, behind one trait.

use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::picture::Kind;

/// A picture on its way into a store.
pub struct Picture {
    /// Its kind, told from its bytes.
    pub kind: Kind,
    /// Its length in bytes, where WeChat announced it.
    pub length: Option<u64>,
    /// Its bytes, as they arrive. An error in here aborts the store's side: nothing may stay behind.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

/// How a store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFailure {
    /// It could not be reached, or broke off.
    #[error("{0}")]
    Broken(String),
    /// It did not answer in time.
    #[error("the image store did not answer in time")]
    TimedOut,
    /// It answered, and refused; the text never quotes its answer's secrets or our headers.
    #[error("the image store refused: {0}")]
    Refused(String),
}

/// A place for pictures.
pub trait ImageStore: Send + Sync {
    /// Stores `picture` whole under a new random name, or leaves nothing behind; answers its URL.
    fn put(&self, picture: Picture) -> BoxFuture<'_, Result<String, StoreFailure>>;

    /// How often one picture is tried at most, each time with a fresh download.
    fn attempts(&self) -> u32;
}
