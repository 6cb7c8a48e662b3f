//! The journal: what happened to the credentials, when, and which replica or client was involved.

mod entry;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::AppId;
use crate::store::{SharedStore, keys};

pub(crate) use entry::{Event, JournalEntry};

/// How many entries wait at most while the shared store is down.
const WAITING: usize = 500;

/// How often the writer tries a store that failed again.
const RETRY: Duration = Duration::from_secs(2);

/// Writes each account's journal to the shared store. Cheap to clone; writing never makes a renewal wait.
#[derive(Clone)]
pub(crate) struct Journal {
    replica: Arc<str>,
    queue: mpsc::Sender<Addressed>,
}

/// An entry, and the account whose journal it belongs to.
struct Addressed {
    app_id: AppId,
    entry: JournalEntry,
}

impl Journal {
    /// Starts the writer on `tasks`; once `stop` is cancelled it writes what is waiting and ends.
    pub(crate) fn start(
        store: Arc<dyn SharedStore>,
        replica: &str,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        tasks.spawn(write(store, waiting, stop));
        Self {
            replica: replica.into(),
            queue,
        }
    }

    /// Notes `entry`, as this replica's, in the journal of `app_id`.
    pub(crate) fn note(&self, app_id: &AppId, entry: JournalEntry) {
        let replica = self.replica.to_string();
        let addressed = Addressed {
            app_id: app_id.clone(),
            entry: JournalEntry { replica, ..entry },
        };
        if let Err(error) = self.queue.try_send(addressed) {
            let event = error.into_inner().entry.event;
            tracing::warn!(%app_id, event, "the journal can't be written and its queue is full: entry lost");
        }
    }
}

async fn write(store: Arc<dyn SharedStore>, mut queue: mpsc::Receiver<Addressed>, stop: CancellationToken) {
    let mut writer = Writer::new(store);
    let mut retries = tokio::time::interval(RETRY);
    retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = stop.is_cancelled();
        while (stopping || writer.has_room())
            && let Ok(addressed) = queue.try_recv()
        {
            writer.unwritten.push_back(addressed);
        }
        if stopping {
            writer.failing.clear();
        }
        writer.write().await;
        if stopping {
            return;
        }
        // While entries wait for the store, the channel is left to fill up: that bounds them.
        tokio::select! {
            () = stop.cancelled() => {}
            _ = retries.tick(), if !writer.unwritten.is_empty() => writer.failing.clear(),
            addressed = queue.recv(), if writer.has_room() => match addressed {
                Some(addressed) => writer.unwritten.push_back(addressed),
                None => return,
            },
        }
    }
}

/// Writes entries, each account's in their order. A journal that can't be written does not stop the others'.
struct Writer {
    store: Arc<dyn SharedStore>,
    unwritten: VecDeque<Addressed>,
    /// Accounts whose entries wait for the next try.
    failing: HashSet<AppId>,
    /// Accounts whose key holds something else; their entries are lost, which has been logged.
    unwritable: HashSet<AppId>,
}

impl Writer {
    fn new(store: Arc<dyn SharedStore>) -> Self {
        Self {
            store,
            unwritten: VecDeque::new(),
            failing: HashSet::new(),
            unwritable: HashSet::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.unwritten.len() < WAITING
    }

    async fn write(&mut self) {
        for addressed in std::mem::take(&mut self.unwritten) {
            if self.failing.contains(&addressed.app_id) || !self.is_done(&addressed).await {
                self.unwritten.push_back(addressed);
            }
        }
    }

    /// Writes an entry; false if it is to be tried again.
    async fn is_done(&mut self, Addressed { app_id, entry }: &Addressed) -> bool {
        let (key, fields) = (keys::JOURNAL.of_account(app_id), entry.fields());
        match self.store.append(&key, &fields, keys::JOURNAL_ENTRIES).await {
            Ok(()) => {
                if self.unwritable.remove(app_id) {
                    tracing::info!(%app_id, "the journal is written again");
                }
                true
            }
            Err(error) if error.is_about_value() => {
                if self.unwritable.insert(app_id.clone()) {
                    tracing::warn!(%app_id, "the journal can't be written: {error}. What to do: {}", error.cure);
                }
                true
            }
            Err(_) => {
                self.failing.insert(app_id.clone());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::credentials::credential::Kind;
    use crate::settings;
    use crate::settings::values::CaFile;
    use crate::store::RedisStore;

    #[tokio::test(start_paused = true)]
    async fn queue_is_bounded_while_the_store_is_down() {
        // Nothing listens there.
        let redis: settings::Redis = serde_json::from_value(json!({ "url": "redis://127.0.0.1:1/0" })).unwrap();
        let store = RedisStore::new(&redis.resolve().unwrap(), &CaFile::default()).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let journal = Journal::start(Arc::new(store), "a", &tasks, stop.clone());
        let app_id = AppId::try_from("wx0123456789abcdef".to_owned()).unwrap();
        for _ in 0..4 {
            for _ in 0..WAITING {
                journal.note(&app_id, JournalEntry::new(Event::Issued, Kind::AccessToken));
            }
            tokio::time::sleep(2 * RETRY).await;
        }
        assert_eq!(journal.queue.capacity(), 0, "what is more than the queue holds is lost");
        stop.cancel();
    }
}
