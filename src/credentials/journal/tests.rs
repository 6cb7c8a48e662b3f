//! The bound of the queue, and the reports of entries that do not fit into it.

use std::path::Path;

use serde_json::json;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::credentials::credential::Kind;
use crate::settings;
use crate::store::RedisStore;
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

#[tokio::test(start_paused = true)]
async fn queue_is_bounded_while_the_store_is_down_and_losses_are_reported_together() {
    let (log, _guard) = Log::of_this_thread();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let journal = Journal::start(unreachable_store(), "a", &tasks, stop.clone());
    let app_id = AppId::try_from("wx1".to_owned()).unwrap();
    let note = || journal.note(&app_id, JournalEntry::new(Event::Issued, Kind::AccessToken));
    for _ in 0..4 {
        for _ in 0..WAITING {
            note();
        }
        tokio::time::sleep(2 * RETRY).await;
    }
    assert_eq!(journal.queue.capacity(), 0, "what is more than the queue holds is lost");
    tokio::time::sleep(2 * REPORT_INTERVAL).await;
    let losses = log.losses();
    assert!(losses.len() == 1 && losses[0].ends_with("entries=4096"), "{losses:#?}");

    note();
    tokio::time::sleep(REPORT_INTERVAL).await;
    let losses = log.losses();
    assert!(losses.len() == 2 && losses[1].ends_with("entries=1"), "{losses:#?}");
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let losses = log.losses();
    assert!(losses.len() == 3 && losses[2].ends_with("entries=4096"), "{losses:#?}");
}
