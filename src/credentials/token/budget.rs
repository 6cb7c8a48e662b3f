//! The day's token calls, counted for the whole cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::account::AppId;
use crate::store::{SharedStore, keys};

/// WeChat allows this many `force_refresh` calls per day.
const FORCED_PER_DAY: u64 = 20;

/// The day's calls of one account.
pub(crate) struct Budget {
    store: Arc<dyn SharedStore>,
    app_id: AppId,
    limit: u64,
    /// What this process knows, for times when the shared store is down.
    known: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    day: String,
    calls: u64,
}

impl Budget {
    pub(crate) fn new(store: Arc<dyn SharedStore>, app_id: AppId, limit: u32) -> Self {
        Self {
            store,
            app_id,
            limit: limit.into(),
            known: Mutex::default(),
        }
    }

    /// Spends one call; an error with the day's calls if they are all spent.
    pub(crate) async fn spend(&self) -> Result<(), u64> {
        let day = today();
        let spent = self.learn(&day).await;
        if self.limit > 0 && spent >= self.limit {
            return Err(spent);
        }
        let key = keys::token_calls(&self.app_id, &day);
        let counted = self.store.increment(&key, keys::DAY_COUNT_TTL).await;
        self.note(&day, counted.unwrap_or(0).max(spent + 1));
        Ok(())
    }

    /// How many calls the whole cluster has made today; as far as this process knows if the store is down.
    pub(crate) async fn spent_by_all(&self) -> u64 {
        self.learn(&today()).await
    }

    /// How many calls were made today, as far as this process knows.
    pub(crate) fn spent(&self) -> u64 {
        self.note(&today(), 0)
    }

    async fn learn(&self, day: &str) -> u64 {
        let entry = self.store.get(&keys::token_calls(&self.app_id, day)).await;
        let calls = entry.ok().flatten().and_then(|entry| entry.value.parse().ok());
        self.note(day, calls.unwrap_or(0))
    }

    /// Notes that at least this many calls were made on `day`; returns how many are known.
    fn note(&self, day: &str, calls: u64) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.day != day {
            *known = Count {
                day: day.to_owned(),
                calls,
            };
        }
        known.calls = known.calls.max(calls);
        known.calls
    }

    /// Whether `force_refresh` may be used now; it counts as used. Not while the store is down, when it is not known
    /// what the other replicas have used.
    pub(crate) async fn may_force(&self) -> bool {
        let last = keys::force_refresh(&self.app_id);
        let count = keys::force_refresh_calls(&self.app_id, &today());
        matches!(
            self.store.set_if_absent(&last, "used", keys::FORCE_REFRESH_TTL).await,
            Ok(true)
        ) && matches!(self.store.increment(&count, keys::DAY_COUNT_TTL).await, Ok(used) if used <= FORCED_PER_DAY)
    }
}

/// Today's date in Beijing, where WeChat's counters begin their day.
fn today() -> String {
    let beijing = SystemTime::now() + Duration::from_hours(8);
    humantime::format_rfc3339_seconds(beijing)
        .to_string()
        .chars()
        .take("2026-01-01".len())
        .collect()
}
