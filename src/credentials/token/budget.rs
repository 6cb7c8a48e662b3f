//! The day's token calls, counted for the whole cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::account::AppId;
use crate::store::{SharedStore, keys};

/// WeChat allows so many `force_refresh` a day.
const FORCED_PER_DAY: u64 = 20;

/// The day's calls of one account.
pub(crate) struct Budget {
    store: Arc<dyn SharedStore>,
    app_id: AppId,
    limit: u64,
    /// This process's own count, for days when the shared store is down.
    own: Mutex<Count>,
}

#[derive(Clone, Default)]
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
            own: Mutex::default(),
        }
    }

    /// Spends one call; an error with the day's calls if they are all spent.
    pub(crate) async fn spend(&self) -> Result<(), u64> {
        let day = today();
        let key = self.key(&day);
        let shared = self.shared_count(&key).await;
        let spent = shared.max(self.spent_on(&day));
        if self.limit > 0 && spent >= self.limit {
            return Err(spent);
        }
        let calls = self
            .store
            .increment(&key, keys::DAY_COUNT_TTL)
            .await
            .unwrap_or(0)
            .max(spent + 1);
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Count { day, calls };
        Ok(())
    }

    /// Learns what the cluster has spent before this process began.
    pub(crate) async fn learn(&self) {
        let (day, calls) = (today(), self.spent_by_all().await);
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.day != day || own.calls < calls {
            *own = Count { day, calls };
        }
    }

    /// How many calls the whole cluster has made today; this process's own if the store is down.
    pub(crate) async fn spent_by_all(&self) -> u64 {
        let day = today();
        self.shared_count(&self.key(&day)).await.max(self.spent_on(&day))
    }

    fn key(&self, day: &str) -> String {
        keys::token_calls(&self.app_id, day)
    }

    async fn shared_count(&self, key: &str) -> u64 {
        let entry = self.store.get(key).await.ok().flatten();
        entry.and_then(|entry| entry.value.parse().ok()).unwrap_or(0)
    }

    /// How many calls were made today, as far as this process knows.
    pub(crate) fn spent(&self) -> u64 {
        self.spent_on(&today())
    }

    fn spent_on(&self, day: &str) -> u64 {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.day == day { own.calls } else { 0 }
    }

    /// Whether `force_refresh` may be used now; it counts as used. Not while the store is down, when nobody knows
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
