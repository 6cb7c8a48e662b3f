//! A connection's bytes on their way: watched, and in our words even where hyper answers by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{Response, StatusCode, header};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Refuse;
use super::pace::Pace;

/// A stream whose pace is kept.
pub(super) struct Watched {
    stream: TcpStream,
    /// Read before HTTP's machinery was there.
    seen: Bytes,
    /// An answer of ours in place of hyper's own, not yet written.
    refusal: Bytes,
    refuse: Option<Refuse>,
    pace: Pace,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, seen: Bytes, refuse: Option<Refuse>, pace: Pace) -> Self {
        Self {
            stream,
            seen,
            refusal: Bytes::new(),
            refuse,
            pace,
        }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(1..)) => self.pace.has_written(),
            Poll::Ready(_) => {}
            Poll::Pending => self.pace.is_blocked(),
        }
    }

    /// Takes hyper's answer to what is no request, and keeps ours to be written instead.
    fn takes_refusal(&mut self, head: &[u8]) -> bool {
        let Some(refuse) = self.refuse.filter(|_| self.pace.awaits_request()) else {
            return false;
        };
        let Some(status) = status_of_refusal(head) else {
            return false;
        };
        self.refusal = wire(&refuse(status));
        true
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.refusal.has_remaining() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.refusal);
            self.note(&written);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.refusal.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that hyper made by itself: an empty one, without the id that all of ours
/// carry.
fn status_of_refusal(head: &[u8]) -> Option<StatusCode> {
    let text = std::str::from_utf8(head.get(..head.len().min(256))?).ok()?;
    let status = text.strip_prefix("HTTP/1.")?.get(2..5)?;
    let own = text.ends_with("\r\n\r\n") && text.contains("content-length: 0\r\n") && !text.contains("x-request-id");
    let status = status.parse().ok()?;
    let refusal = [
        StatusCode::BAD_REQUEST,
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    ];
    (own && refusal.contains(&status)).then_some(status)
}

/// `response` as HTTP/1 sends it, on a connection that ends with it.
fn wire(response: &Response<Bytes>) -> Bytes {
    let (status, body) = (response.status(), response.body());
    let reason = status.canonical_reason().unwrap_or_default();
    let mut out = BytesMut::from(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in response.headers() {
        if *name != header::CONTENT_LENGTH && *name != header::CONNECTION {
            out.put_slice(name.as_ref());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
    out.put_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    out.put_slice(body);
    out.freeze()
}

/// An answer of so few bytes is written in one piece: copying it costs less than having the kernel
/// gather it.
const SMALL: usize = 1024;

/// `pieces` in one, where there is room for them.
fn join<'a>(pieces: &[IoSlice<'_>], room: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut filled = 0;
    for piece in pieces {
        room.get_mut(filled..filled + piece.len())?.copy_from_slice(piece);
        filled += piece.len();
    }
    Some(&room[..filled])
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.seen.has_remaining() {
            let count = self.seen.len().min(buffer.remaining());
            buffer.put_slice(&self.seen.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.pace.has_read();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bytes
            && self.takes_refusal(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let written = match join(bytes, &mut [0; SMALL]) {
            Some(joined) => Pin::new(&mut self.stream).poll_write(cx, joined),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bytes),
        };
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_as_long_as_there_is_room() {
        let joined = |lengths: &[usize]| {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(lengths.iter().sum()).collect();
            let mut rest = bytes.as_slice();
            let pieces = lengths
                .iter()
                .map(|length| IoSlice::new(rest.split_off(..*length).unwrap()));
            let pieces: Vec<_> = pieces.collect();
            let mut room = [0; SMALL];
            join(&pieces, &mut room).map(|joined| joined == bytes)
        };
        assert_eq!(joined(&[]), Some(true));
        assert_eq!(joined(&[300, 0, SMALL - 300]), Some(true));
        assert_eq!(joined(&[300, SMALL - 299]), None);
        assert_eq!(joined(&[SMALL + 1, 1]), None);
    }

    #[test]
    fn only_hypers_own_refusals_are_taken_for_such() {
        let refusal = |text: &str| status_of_refusal(text.as_bytes()).map(|status| status.as_u16());
        let hypers = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                      date: Sun, 22 Nov 2026 10:00:00 GMT\r\n\r\n";
        assert_eq!(refusal(hypers), Some(431));
        assert_eq!(refusal(&hypers.replace("431", "404")), None);
        assert_eq!(refusal(&hypers.replace("date:", "x-request-id: a\r\ndate:")), None);
        assert_eq!(refusal(&hypers.replace("length: 0", "length: 1")), None);
        assert_eq!(refusal(""), None);
    }
}
