//! The journal: what happened to the credentials, when, and which replica or client was involved.

mod entry;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::AppId;
use crate::store::{SharedStore, StoreError, StoreFault, keys};

pub(crate) use entry::{Event, JournalEntry};

/// The bound of the queue; the writer itself holds as many entries. At a start, the token and ticket of every account
/// cause one or two entries each at the same time, and there may be a thousand accounts.
const WAITING: usize = 4096;

/// How often the writer retries after the store has failed.
const RETRY: Duration = Duration::from_secs(2);

/// How many of a journal's newest entries are searched for one that may have been written: other replicas write too.
const SEARCHED: usize = 100;

/// How often lost entries are reported, all in one line: there may be thousands at once.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Writes each account's journal to the shared store. Cheap to clone; writing never makes a renewal wait.
#[derive(Clone)]
pub(crate) struct Journal {
    replica: Arc<str>,
    queue: mpsc::Sender<Addressed>,
    /// Entries that did not fit into the queue since the last report.
    lost: Arc<AtomicUsize>,
}

/// An entry, and the account that it is about.
type Addressed = (AppId, JournalEntry);

impl Journal {
    /// Starts the writer on `tasks`. Once `stop` is cancelled, it writes what is queued and ends.
    pub(crate) fn start(
        store: Arc<dyn SharedStore>,
        replica: &str,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let lost = Arc::<AtomicUsize>::default();
        let writer = Writer {
            store,
            lost: Arc::clone(&lost),
            unwritten: VecDeque::new(),
            failing: HashSet::new(),
            in_doubt: HashSet::new(),
            unwritable: HashSet::new(),
        };
        tasks.spawn(writer.run(waiting, stop));
        Self {
            replica: replica.into(),
            queue,
            lost,
        }
    }

    /// Notes `entry`, as this replica's, in the journal of `app_id`.
    pub(crate) fn note(&self, app_id: &AppId, entry: JournalEntry) {
        let replica = self.replica.to_string();
        let entry = JournalEntry { replica, ..entry };
        match self.queue.try_send((app_id.clone(), entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Closed((_, entry))) => {
                tracing::warn!(%app_id, event = entry.event, "the journal has stopped: entry lost");
            }
        }
    }
}

/// Writes entries, those of each account in order. A journal that can't be written does not hold up the others.
struct Writer {
    store: Arc<dyn SharedStore>,
    lost: Arc<AtomicUsize>,
    unwritten: VecDeque<Addressed>,
    /// Accounts whose entries wait for the next retry.
    failing: HashSet<AppId>,
    /// Accounts whose first entry the store may have written, or may yet write: its reply did not come.
    in_doubt: HashSet<AppId>,
    /// Accounts whose key holds a value of another type. Their entries are lost, which has been logged.
    unwritable: HashSet<AppId>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Addressed>, stop: CancellationToken) {
        let (mut retries, mut reports) = (interval(RETRY), interval(REPORT_INTERVAL));
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = stop.is_cancelled();
            while (stopping || self.has_room())
                && let Ok(addressed) = queue.try_recv()
            {
                self.unwritten.push_back(addressed);
            }
            if stopping {
                self.failing.clear();
            }
            self.write().await;
            if stopping {
                return self.report_losses(self.unwritten.len());
            }
            // While entries wait for the store, the channel fills up, which bounds them.
            tokio::select! {
                () = stop.cancelled() => {}
                _ = retries.tick(), if !self.unwritten.is_empty() => self.failing.clear(),
                _ = reports.tick() => self.report_losses(0),
                addressed = queue.recv(), if self.has_room() => match addressed {
                    Some(addressed) => self.unwritten.push_back(addressed),
                    None => return self.report_losses(self.unwritten.len()),
                },
            }
        }
    }

    fn has_room(&self) -> bool {
        self.unwritten.len() < WAITING
    }

    /// Reports entries that did not fit into the queue, and those that could not be written.
    fn report_losses(&self, unwritten: usize) {
        let entries = self.lost.swap(0, Ordering::Relaxed) + unwritten;
        if entries > 0 {
            tracing::warn!(
                entries,
                "journal entries were lost: they were produced faster than the store accepted them, or it failed"
            );
        }
    }

    async fn write(&mut self) {
        for (app_id, entry) in std::mem::take(&mut self.unwritten) {
            if self.failing.contains(&app_id) || !self.try_write(&app_id, &entry).await {
                self.unwritten.push_back((app_id, entry));
            }
        }
    }

    /// Writes an entry; false if it must be retried.
    async fn try_write(&mut self, app_id: &AppId, entry: &JournalEntry) -> bool {
        match self.append(app_id, entry).await {
            Ok(()) => {
                self.in_doubt.remove(app_id);
                if self.unwritable.remove(app_id) {
                    tracing::info!(%app_id, "the journal is written again");
                }
                true
            }
            Err(error) if error.is_about_value() => {
                self.in_doubt.remove(app_id);
                if self.unwritable.insert(app_id.clone()) {
                    tracing::warn!(%app_id, "the journal can't be written: {error}. What to do: {}", error.cure);
                }
                true
            }
            Err(error) => {
                if error.fault == StoreFault::Unreachable {
                    self.in_doubt.insert(app_id.clone());
                }
                self.failing.insert(app_id.clone());
                false
            }
        }
    }

    /// Appends an entry, unless it is there. As long as its journal can't be read, nothing more is sent: a frozen Redis
    /// runs every command that it was sent once it continues.
    async fn append(&self, app_id: &AppId, entry: &JournalEntry) -> Result<(), StoreError> {
        let (key, fields) = (keys::JOURNAL.of_account(app_id), entry.fields());
        if self.in_doubt.contains(app_id) {
            let own = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let own: Vec<_> = own.collect();
            match self.store.newest(&key, SEARCHED).await {
                Ok(newest) if newest.contains(&own) => return Ok(()),
                Err(error) if error.fault == StoreFault::Unreachable => return Err(error),
                // A user that may write the journal, but not read it, may write an entry twice.
                Ok(_) | Err(_) => {}
            }
        }
        self.store.append(&key, &fields, keys::JOURNAL_ENTRIES).await
    }
}

#[cfg(test)]
mod tests;
