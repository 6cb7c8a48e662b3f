//! Which replicas are running. Each maintains a mark in the shared store, so that the console shows the whole cluster.
//!
//! A mark is one key per replica, which expires unless it is renewed. Since keys can't be listed everywhere (a proxy, a
//! cluster, an ACL), a stream has the names of the replicas that started recently or are still running.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::{SharedStore, StoreError, keys};

/// How often a mark is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a running replica appends its name again, so that newer names do not push it out of the stream.
const ANNOUNCE_EVERY: Duration = Duration::from_hours(1);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Replica {
    /// When it started, by its own clock.
    pub(crate) since: SystemTime,
    pub(crate) name: String,
    pub(crate) version: String,
}

/// The replicas that share a store.
pub(crate) struct Replicas {
    store: Arc<dyn SharedStore>,
    /// This process.
    pub(crate) own: Replica,
}

impl Replica {
    /// The value of its mark.
    fn mark(&self) -> String {
        format!("{} {}", self.version, humantime::format_rfc3339_seconds(self.since))
    }

    /// Reads a mark, which a newer version may have written.
    fn read(name: String, mark: &str) -> Option<Self> {
        let mut words = mark.split(' ');
        let version = words.next()?.to_owned();
        let since = humantime::parse_rfc3339(words.next()?).ok()?;
        Some(Self { since, name, version })
    }
}

impl Replicas {
    /// The replicas that share `store` with this process, whose name is `name`.
    pub(crate) fn new(store: Arc<dyn SharedStore>, name: &str) -> Self {
        let own = Replica {
            since: SystemTime::now(),
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self { store, own }
    }

    /// Renews this process's mark until `end` is cancelled, and then removes it. If the store fails, the next round
    /// tries again.
    ///
    /// If the mark is gone, as at start, the store may have lost everything else too. Then `write_again` runs before the
    /// mark is written, so that it runs again in the next round if it fails.
    pub(crate) async fn keep_marked(
        self: Arc<Self>,
        end: CancellationToken,
        write_again: impl AsyncFn() -> Result<(), StoreError>,
    ) {
        let (key, mark) = (keys::replica(&self.own.name), self.own.mark());
        let rounds = async {
            let mut announced: Option<Instant> = None;
            loop {
                let renewed = self
                    .store
                    .compare_and_set(&key, Some(&mark), &mark, keys::REPLICA_TTL)
                    .await;
                if matches!(renewed, Ok(false)) && write_again().await.is_ok() {
                    let marked = self.store.set_if_absent(&key, &mark, keys::REPLICA_TTL).await;
                    if matches!(marked, Ok(true)) {
                        // The store may have lost the names along with the mark.
                        announced = None;
                    }
                }
                if renewed.is_ok() && announced.is_none_or(|at| at.elapsed() > ANNOUNCE_EVERY) {
                    let fields = [("replica", self.own.name.clone())];
                    let name = self.store.append(keys::REPLICAS.name, &fields, keys::REPLICA_ENTRIES);
                    announced = name.await.is_ok().then(Instant::now);
                }
                sleep(RENEW_EVERY).await;
            }
        };
        end.run_until_cancelled(rounds).await;
        let _ = self.store.compare_and_delete(&key, &mark).await;
    }

    /// The replicas whose marks have not expired, sorted by start time.
    pub(crate) async fn running(&self) -> Result<Vec<Replica>, StoreError> {
        let entries = self.store.newest(keys::REPLICAS.name, keys::REPLICA_ENTRIES).await?;
        let names = entries.into_iter().flatten().map(|(_, name)| name);
        let names: BTreeSet<String> = names.filter(|name| *name != self.own.name).collect();
        let marks = names.into_iter().map(|name| async {
            let entry = self.store.get(&keys::replica(&name)).await?;
            Ok(entry.and_then(|entry| Replica::read(name, &entry.value)))
        });
        let mut running = vec![self.own.clone()];
        for mark in join_all(marks).await {
            running.extend(mark?);
        }
        running.sort_unstable();
        Ok(running)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::store::{MemoryStore, StoreFault};

    /// Otherwise its name would push the other replicas' out of the stream within minutes.
    #[tokio::test(start_paused = true)]
    async fn replica_whose_mark_can_not_be_written_announces_itself_once() {
        let store = Arc::new(MemoryStore::default());
        let replicas = Arc::new(Replicas::new(Arc::clone(&store) as _, "gw-1"));
        let write_again = async || Err(StoreError::new(StoreFault::Full, "its memory is full", ""));
        let marking = replicas.keep_marked(CancellationToken::new(), write_again);
        assert!(timeout(RENEW_EVERY * 20, marking).await.is_err());
        assert_eq!(store.newest(keys::REPLICAS.name, 100).await.unwrap().len(), 1);
    }
}
