//! A client that sends exactly the given bytes, HTTP or not.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::LIMIT;

/// One connection.
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawAnswer {
    /// Status and the envelope's code.
    pub fn code(&self) -> (u16, i64) {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        (self.status, body["code"].as_i64().unwrap_or(-1))
    }

    /// Asserts that it is a failure in the envelope.
    pub fn assert_failure(&self, status: u16, code: i64) {
        assert_eq!(self.code(), (status, code), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let id = format!("x-request-id: {}", body["traceId"].as_str().unwrap());
        for header in [
            "content-type: application/json; charset=utf-8",
            "cache-control: no-store",
            &id,
        ] {
            assert!(self.head.contains(header), "{header}: {self:?}");
        }
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends bytes that the other side may refuse.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Closes the sending side; answers can still be read.
    pub async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer, which must have a `Content-Length`.
    pub async fn answer(&mut self) -> RawAnswer {
        let answer = timeout(LIMIT, async {
            loop {
                if let Some(answer) = self.take_answer() {
                    return answer;
                }
                let count = self.stream.read_buf(&mut self.read).await.unwrap();
                assert_ne!(count, 0, "cut off after {:?}", String::from_utf8_lossy(&self.read));
            }
        });
        answer.await.expect("no answer came")
    }

    fn take_answer(&mut self) -> Option<RawAnswer> {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let whole = end + length.unwrap_or(0);
        let body = String::from_utf8_lossy(self.read.get(end..whole)?).into_owned();
        self.read.drain(..whole);
        Some(RawAnswer {
            status: head[9..12].parse().unwrap(),
            head,
            body,
        })
    }

    /// Whether the other side hangs up within `limit` without sending anything more.
    pub async fn is_cut_within(&mut self, limit: Duration) -> bool {
        let read = timeout(limit, self.stream.read_buf(&mut self.read)).await;
        let cut = matches!(read, Ok(Ok(0) | Err(_)));
        cut && self.read.is_empty()
    }

    /// What the other side sends until it hangs up; `None` if it has not within `limit`.
    pub async fn everything_within(&mut self, limit: Duration) -> Option<String> {
        let read = timeout(limit, async {
            while matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {}
        });
        read.await.ok()?;
        Some(String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned())
    }

    /// Whether the other side sends nothing for `limit`, whether it hangs up or not.
    pub async fn is_silent_for(&mut self, limit: Duration) -> bool {
        let read = timeout(limit, self.stream.read_buf(&mut self.read)).await;
        self.read.is_empty() && !matches!(read, Ok(Ok(1..)))
    }

    /// The status of a refusal by the HTTP library, after which it hangs up.
    pub async fn refusal(&mut self, limit: Duration) -> Option<u16> {
        let said = self.everything_within(limit).await?;
        said.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// Sends one of `pieces` after each `pause` until the other side hangs up, or they are used up;
    /// true in the former case.
    pub async fn drip(&mut self, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, pause: Duration) -> bool {
        for piece in pieces {
            if !self.try_send(piece).await || self.is_cut_within(pause).await {
                return true;
            }
        }
        false
    }

    /// Sends nothing for a while.
    pub async fn idle(&self, time: Duration) {
        sleep(time).await;
    }
}
