//! The bound of the queue, and the reports of lost entries.

use std::path::Path;

use serde_json::json;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::credentials::credential::Kind;
use crate::settings;
use crate::store::{MemoryStore, RedisStore};
use crate::telemetry::text::tests::Written;

struct Log(Written);

impl Log {
    /// What this thread logs, until the guard is dropped.
    fn of_this_thread() -> (Self, DefaultGuard) {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (Self(written), tracing::subscriber::set_default(subscriber))
    }

    /// The lines about entries that were lost.
    fn losses(&self) -> Vec<String> {
        let text = self.0.text();
        let lines = text.lines().filter(|line| line.contains("lost"));
        lines.map(str::to_owned).collect()
    }
}

/// A store where nothing listens.
fn unreachable_store() -> Arc<dyn SharedStore> {
    let redis: settings::Redis = serde_json::from_value(json!({ "url": "redis://127.0.0.1:1/0" })).unwrap();
    Arc::new(RedisStore::new(&redis, Path::new("")).unwrap())
}

fn app_id(account: usize) -> AppId {
    AppId::try_from(format!("wx{account:016}")).unwrap()
}

/// The tokens and tickets of all accounts are adopted, or fail to be renewed, at the same time.
#[tokio::test]
async fn entries_of_a_start_with_many_accounts_are_not_lost() {
    const ACCOUNTS: usize = 1000;
    let (log, _guard) = Log::of_this_thread();
    let store: Arc<dyn SharedStore> = Arc::new(MemoryStore::default());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let journal = Journal::start(Arc::clone(&store), "a", &tasks, stop.clone());
    for account in 0..ACCOUNTS {
        for kind in [Kind::AccessToken, Kind::JsapiTicket] {
            journal.note(&app_id(account), JournalEntry::new(Event::Adopted, kind));
        }
    }
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    assert!(log.losses().is_empty(), "{:?}", log.losses().len());
    for account in 0..ACCOUNTS {
        let entries = store
            .newest(&keys::JOURNAL.of_account(&app_id(account)), 10)
            .await
            .unwrap();
        assert_eq!(entries.len(), 2, "account {account}");
    }
}

#[tokio::test(start_paused = true)]
async fn queue_is_bounded_while_the_store_is_down_and_losses_are_reported_together() {
    let (log, _guard) = Log::of_this_thread();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let journal = Journal::start(unreachable_store(), "a", &tasks, stop.clone());
    let app_id = app_id(1);
    let note = || journal.note(&app_id, JournalEntry::new(Event::Issued, Kind::AccessToken));
    for _ in 0..4 {
        for _ in 0..WAITING {
            note();
        }
        tokio::time::sleep(2 * RETRY).await;
    }
    assert_eq!(journal.queue.capacity(), 0, "what is more than the queue holds is lost");
    tokio::time::sleep(2 * REPORT_INTERVAL).await;
    // The queue and the writer hold half of them.
    let half = format!("entries={}", 2 * WAITING);
    let losses = log.losses();
    assert!(losses.len() == 1 && losses[0].ends_with(&half), "{losses:#?}");

    note();
    tokio::time::sleep(REPORT_INTERVAL).await;
    let losses = log.losses();
    assert!(losses.len() == 2 && losses[1].ends_with("entries=1"), "{losses:#?}");
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let losses = log.losses();
    assert!(losses.len() == 3 && losses[2].ends_with(&half), "{losses:#?}");
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_unwritten_when_nobody_notes_any_more_are_reported() {
    let (log, _guard) = Log::of_this_thread();
    let tasks = TaskTracker::new();
    let journal = Journal::start(unreachable_store(), "a", &tasks, CancellationToken::new());
    journal.note(&app_id(1), JournalEntry::new(Event::Issued, Kind::AccessToken));
    drop(journal);
    tasks.close();
    tasks.wait().await;
    let losses = log.losses();
    assert!(losses.len() == 1 && losses[0].ends_with("entries=1"), "{losses:#?}");
}
