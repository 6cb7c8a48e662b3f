//! How far an HTTP/1 connection has come, as its stream and its service see it, and when it is late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Limits;

/// How long HTTP's machinery is kept for a client that has nothing more to say.
const LINGER: std::time::Duration = std::time::Duration::from_millis(100);

/// Shared by the two ends of a connection, which are polled by one task.
#[derive(Clone)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    /// Since when the client has taken nothing of what we write.
    blocked: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// A request's head is arriving, since then.
    Head(Instant),
    /// A request is being answered.
    Busy,
    /// The answer is out, since then.
    Quiet(Instant),
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
    /// A connection whose first bytes are there.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Head(Instant::now()),
            blocked: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    pub(super) fn has_read(&self) {
        let mut state = self.state();
        if let Phase::Quiet(_) = state.phase {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// Bytes were taken by the client.
    pub(super) fn has_written(&self) {
        let mut state = self.state();
        state.blocked = None;
        if let Phase::Quiet(since) = &mut state.phase {
            *since = Instant::now();
        }
    }

    /// The client takes no more for now.
    pub(super) fn is_blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// A request's head is complete.
    pub(super) fn is_busy(&self) {
        self.state().phase = Phase::Busy;
    }

    /// All of an answer has been handed over.
    pub(super) fn is_answered(&self) {
        self.state().phase = Phase::Quiet(Instant::now());
    }

    /// True while no answer is under way.
    pub(super) fn awaits_request(&self) -> bool {
        !matches!(self.state().phase, Phase::Busy)
    }

    /// What the connection is due for next, and when.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Due)> {
        let State { phase, blocked } = *self.state();
        match (blocked, phase) {
            (Some(since), _) => Some((since + limits.write_stall, Due::Cut)),
            (None, Phase::Head(since)) => Some((since + limits.head, Due::Cut)),
            (None, Phase::Busy) => None,
            (None, Phase::Quiet(since)) => Some((since + LINGER, Due::Park)),
        }
    }
}
