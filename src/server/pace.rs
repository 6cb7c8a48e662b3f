//! How far an HTTP/1 connection has come, as its stream and its service see it, and when it is late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use tokio::time::Instant;

use super::Limits;

/// How long HTTP's machinery is kept for a client that has nothing more to say.
const LINGER: std::time::Duration = std::time::Duration::from_millis(100);

/// A request's head is arriving.
const HEAD: u8 = 0;
/// A request is being answered.
const BUSY: u8 = 1;
/// The answer is out.
const QUIET: u8 = 2;

/// Shared by the two ends of a connection. Both are polled by one task, so the order of what they note
/// is the order in which it happened.
#[derive(Clone, Default)]
pub(super) struct Pace(Arc<State>);

#[derive(Default)]
struct State {
    phase: AtomicU8,
    /// The client takes nothing of what we write.
    blocked: AtomicBool,
    /// Somebody reads the request's body.
    reading: AtomicBool,
    /// Heads that were complete.
    heads: AtomicU32,
    /// Times that the client has taken something of what we write.
    writes: AtomicU32,
}

/// What a connection is due for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It dawdled.
    Cut,
    /// It is quiet.
    Park,
}

impl Pace {
    /// Bytes came.
    pub(super) fn has_read(&self) {
        if self.0.phase.load(Relaxed) == QUIET && !self.0.reading.load(Relaxed) {
            self.0.phase.store(HEAD, Relaxed);
        }
    }

    /// Bytes were taken by the client.
    pub(super) fn has_written(&self) {
        self.0.blocked.store(false, Relaxed);
        self.0.writes.fetch_add(1, Relaxed);
    }

    /// The client takes no more for now.
    pub(super) fn is_blocked(&self) {
        self.0.blocked.store(true, Relaxed);
    }

    /// A request's head is complete.
    pub(super) fn is_busy(&self) {
        self.0.phase.store(BUSY, Relaxed);
        self.0.heads.fetch_add(1, Relaxed);
    }

    /// All of an answer has been handed over.
    pub(super) fn is_answered(&self) {
        self.0.phase.store(QUIET, Relaxed);
    }

    /// Until what it gives is dropped, a request's body is being read: bytes that come are no head, and the
    /// connection is not quiet.
    pub(super) fn reads_body(&self) -> BodyReader {
        self.0.reading.store(true, Relaxed);
        BodyReader(self.clone())
    }

    /// True while no answer is under way.
    pub(super) fn awaits_request(&self) -> bool {
        self.0.phase.load(Relaxed) != BUSY
    }
}

/// Somebody who reads a request's body, perhaps for longer than its answer takes.
pub(super) struct BodyReader(Pace);

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.0.0.reading.store(false, Relaxed);
    }
}

/// Since when a connection has been where it is. One look at the clock for each of its turns is enough.
pub(super) struct Watch {
    pace: Pace,
    seen: (u8, bool, u32),
    since: Instant,
}

impl Watch {
    /// Watches a connection whose first bytes are there.
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            seen: (HEAD, false, 0),
            since: Instant::now(),
        }
    }

    /// What the connection is due for next, and when, unless it moves on.
    pub(super) fn due(&mut self, limits: &Limits) -> Option<(Instant, Due)> {
        let state = &*self.pace.0;
        let (phase, blocked) = (state.phase.load(Relaxed), state.blocked.load(Relaxed));
        // A head gets no more time because the answer before it is being taken.
        let counted = if phase == HEAD && !blocked {
            &state.heads
        } else {
            &state.writes
        };
        let now = (phase, blocked, counted.load(Relaxed));
        if self.seen != now {
            self.seen = now;
            self.since = Instant::now();
        }
        match (blocked, phase) {
            (true, _) => Some((self.since + limits.write_stall, Due::Cut)),
            (false, HEAD) => Some((self.since + limits.head, Due::Cut)),
            (false, QUIET) if state.reading.load(Relaxed) => Some((self.since + limits.body_stall, Due::Cut)),
            (false, QUIET) => Some((self.since + LINGER, Due::Park)),
            (false, _) => None,
        }
    }
}
