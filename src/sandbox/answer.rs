//! An answer: status, headers in their order and spelling, and body; and how it is written to the connection byte for
//! byte, with faults. Hand-written, because an HTTP library rightly prevents all of these faults.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// WeChat's media type for JSON, with `encoding` instead of `charset`.
pub(super) const JSON: &str = "application/json; encoding=utf-8";

/// An answer of WeChat's API.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Header names as spelled on the wire. `Date`, `Connection` and the length are added when it is sent.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// Whether the connection is closed after it.
    pub(super) close: bool,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A JSON object. Faults change its fields.
    Json(Value),
    /// Anything else.
    Bytes(Bytes),
}

impl Body {
    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Body::Json(object) => object.to_string().into(),
            Body::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Answer {
    /// Status 200 with this object, like all of WeChat's JSON answers, including errors.
    pub(super) fn json(object: Value) -> Self {
        Self::new(200, Body::Json(object)).header("Content-Type", JSON)
    }

    /// A success without further data.
    pub(super) fn ok() -> Self {
        Self::json(json!({ "errcode": 0, "errmsg": "ok" }))
    }

    /// This status with an empty body.
    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, Body::Bytes(Bytes::new()))
    }

    pub(super) fn new(status: u16, body: Body) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            close: false,
        }
    }

    /// Replaces the header with this name, ignoring case, or adds it.
    #[must_use]
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_header(name, Some(value.into()));
        self
    }

    /// Sets the header with this name in place; `None` removes it.
    pub(super) fn set_header(&mut self, name: &str, value: Option<String>) {
        let at = self
            .headers
            .iter()
            .position(|(header, _)| header.eq_ignore_ascii_case(name));
        match (at, value) {
            (Some(at), Some(value)) => self.headers[at] = (name.to_owned(), value),
            (Some(at), None) => drop(self.headers.remove(at)),
            (None, Some(value)) => self.headers.push((name.to_owned(), value)),
            (None, None) => {}
        }
    }

    /// The outcome in one word, for the log.
    pub(super) fn outcome(&self) -> String {
        if self.status != 200 {
            return format!("status {}", self.status);
        }
        let errcode = match &self.body {
            Body::Json(object) => object.get("errcode").filter(|code| **code != 0),
            Body::Bytes(_) => None,
        };
        errcode.map_or_else(|| "ok".to_owned(), |code| format!("errcode {code}"))
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// TCP RST.
    #[default]
    Reset,
    /// TCP FIN.
    Close,
    /// It stays open and silent.
    Stall,
}

/// What is sent, and how.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Seconds since 1970, for `Date`.
    pub(super) unix: u64,
    pub(super) payload: Payload,
    /// Whether the connection is closed afterwards regardless of the answer.
    pub(super) last: bool,
    /// Whether the body is omitted, as for HEAD.
    pub(super) head_only: bool,
    pub(super) framing: Framing,
    /// The body is sent in pieces of this many bytes, with this pause after each.
    pub(super) drip: Option<(usize, Duration)>,
    /// The body ends after this many bytes, and the connection in this way.
    pub(super) cut: Option<(usize, End)>,
}

/// What is sent.
#[derive(Debug)]
pub(super) enum Payload {
    Answer(Answer),
    /// These bytes, then the connection is closed.
    Raw(Bytes),
    /// No answer; the connection ends in this way.
    Nothing(End),
}

/// How the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By `Content-Length`, which differs from the true length by this many bytes.
    Length(i64),
    Chunked,
    UntilClose,
}

/// The maximum time that a stalled connection is kept.
const SILENCE: Duration = Duration::from_hours(1);

impl Delivery {
    pub(super) fn new(payload: Payload, unix: u64) -> Self {
        Self {
            unix,
            payload,
            last: false,
            head_only: false,
            framing: Framing::Length(0),
            drip: None,
            cut: None,
        }
    }

    /// Sends it, and returns the connection if it can be used again.
    pub(super) async fn send(self, mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
        let end = match &self.payload {
            Payload::Answer(answer) => {
                self.write(&mut stream, answer).await?;
                self.end(answer)
            }
            Payload::Raw(bytes) => {
                stream.write_all(bytes).await?;
                Some(End::Close)
            }
            Payload::Nothing(end) => Some(*end),
        };
        match end {
            None => return Ok(Some(stream)),
            Some(End::Close) => stream.shutdown().await?,
            // Closing then sends RST instead of FIN.
            Some(End::Reset) => stream.set_zero_linger()?,
            Some(End::Stall) => {
                let mut ignored = [0; 1024];
                let silence = async { while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {} };
                // The connection ends whether the client closed it or the time is up.
                _ = tokio::time::timeout(SILENCE, silence).await;
            }
        }
        Ok(None)
    }

    /// How the connection ends after `answer`; `None` if it does not.
    fn end(&self, answer: &Answer) -> Option<End> {
        let closes = self.closes(answer) || matches!(self.framing, Framing::Length(off) if off != 0);
        self.cut.map(|(_, end)| end).or(closes.then_some(End::Close))
    }

    /// Whether the answer has `Connection: close`. One that is cut does not announce that.
    fn closes(&self, answer: &Answer) -> bool {
        self.last || answer.close || self.framing == Framing::UntilClose
    }

    fn head(&self, answer: &Answer, length: usize) -> String {
        let reason = StatusCode::from_u16(answer.status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason.unwrap_or("Unknown"));
        // Writing to a String can't fail.
        let mut line = |name: &str, value: &str| _ = write!(head, "{name}: {value}\r\n");
        line("Connection", if self.closes(answer) { "close" } else { "keep-alive" });
        for (name, value) in &answer.headers {
            line(name, value);
        }
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(self.unix);
        line("Date", &httpdate::fmt_http_date(date));
        match self.framing {
            Framing::Length(off) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX).saturating_add(off).max(0);
                line("Content-Length", &length.to_string());
            }
            Framing::Chunked => line("Transfer-Encoding", "chunked"),
            Framing::UntilClose => {}
        }
        head.push_str("\r\n");
        head
    }

    async fn write(&self, stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
        let body = answer.body.to_bytes();
        let mut out = self.head(answer, body.len()).into_bytes();
        if self.head_only {
            return stream.write_all(&out).await;
        }
        let sent = self.cut.map_or(body.len(), |(after, _)| after.min(body.len()));
        let body = &body[..sent];
        let piece = self.drip.map_or(sent, |(bytes, _)| bytes).max(1);
        // Small answers are sent in one packet with their head, as WeChat does.
        for chunk in body.chunks(piece) {
            if self.framing == Framing::Chunked {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            }
            out.extend_from_slice(chunk);
            if self.framing == Framing::Chunked {
                out.extend_from_slice(b"\r\n");
            }
            if let Some((_, pause)) = self.drip {
                stream.write_all(&out).await?;
                out.clear();
                tokio::time::sleep(pause).await;
            }
        }
        if self.framing == Framing::Chunked && self.cut.is_none() {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        stream.write_all(&out).await
    }
}
