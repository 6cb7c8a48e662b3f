//! The journal: what happened to the credentials, when, and by whose doing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::credential::Kind;
use crate::account::AppId;
use crate::store::{SharedStore, keys};

/// Something that happened to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// WeChat issued it, and there was none before.
    Issued,
    /// WeChat issued it in place of another one.
    Renewed,
    /// Another replica, or an older service, had got it.
    Adopted,
    /// WeChat rejected it.
    Rejected,
    /// It died long before its end, and nobody of ours replaced it.
    ForeignInvalidation,
    /// WeChat gave none.
    RenewalFailed,
    /// A client was given it, for the first time.
    HandedOut,
}

impl Event {
    /// Its name in the journal.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Event::Issued => "issued",
            Event::Renewed => "renewed",
            Event::Adopted => "adopted",
            Event::Rejected => "rejected",
            Event::ForeignInvalidation => "foreign_invalidation",
            Event::RenewalFailed => "renewal_failed",
            Event::HandedOut => "handed_out",
        }
    }
}

/// How many entries wait at most while the shared store is down.
const WAITING: usize = 500;

/// How long the writer waits before it tries a store that failed again.
const RETRY: Duration = Duration::from_secs(2);

/// Writes `wxgate:journal:{app_id}`. Cheap to clone; writing never makes a renewal wait.
#[derive(Clone)]
pub struct Journal {
    replica: Arc<str>,
    lines: mpsc::Sender<Line>,
}

struct Line {
    key: String,
    fields: Vec<(&'static str, String)>,
}

impl Journal {
    /// Starts the writer on `tasks`; once `stop` is cancelled it writes what is waiting and ends.
    #[must_use]
    pub fn start(store: Arc<dyn SharedStore>, replica: &str, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        tasks.spawn(write(store, waiting, stop));
        Self {
            replica: replica.into(),
            lines,
        }
    }

    /// Notes `event`. `fingerprint` names the credential, `reason` is for people.
    pub fn note(&self, app_id: &AppId, kind: Kind, event: Event, fingerprint: &str, reason: &str) {
        self.write(app_id, event, self.entry(kind, event, fingerprint, reason));
    }

    /// Notes that `client` was given the token that `fingerprint` names.
    pub fn note_handed_out(&self, app_id: &AppId, fingerprint: &str, client: &str, reason: &str) {
        let mut fields = self.entry(Kind::AccessToken, Event::HandedOut, fingerprint, reason);
        fields.push(("client", client.to_owned()));
        self.write(app_id, Event::HandedOut, fields);
    }

    fn entry(&self, kind: Kind, event: Event, fingerprint: &str, reason: &str) -> Vec<(&'static str, String)> {
        vec![
            ("time", humantime::format_rfc3339_millis(SystemTime::now()).to_string()),
            ("event", event.label().to_owned()),
            ("kind", kind.label().to_owned()),
            ("fingerprint", fingerprint.to_owned()),
            ("reason", reason.to_owned()),
            ("replica", self.replica.to_string()),
        ]
    }

    fn write(&self, app_id: &AppId, event: Event, fields: Vec<(&'static str, String)>) {
        if self
            .lines
            .try_send(Line {
                key: keys::journal(app_id),
                fields,
            })
            .is_err()
        {
            tracing::warn!(%app_id, event = event.label(), "the journal can't be written and its queue is full: entry lost");
        }
    }
}

async fn write(store: Arc<dyn SharedStore>, mut lines: mpsc::Receiver<Line>, stop: CancellationToken) {
    let mut unwritten = VecDeque::new();
    loop {
        let stopping = stop.is_cancelled();
        while let Ok(line) = lines.try_recv() {
            unwritten.push_back(line);
        }
        while let Some(Line { key, fields }) = unwritten.front() {
            if store.append(key, fields, keys::JOURNAL_ENTRIES).await.is_err() {
                break;
            }
            unwritten.pop_front();
        }
        if stopping {
            return;
        }
        // While entries wait for the store, the channel is left to fill up: that bounds them.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY), if !unwritten.is_empty() => {}
            line = lines.recv(), if unwritten.is_empty() => match line {
                Some(line) => unwritten.push_back(line),
                None => return,
            },
        }
    }
}
