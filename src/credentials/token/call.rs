//! One call to WeChat for a token: counted, fenced, and marked until its outcome is known.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::Token;
use crate::account::AppId;
use crate::clock::beijing;
use crate::credentials::credential::{Trigger, Unavailable, name_in_store};
use crate::credentials::held_lock::HeldLock;
use crate::credentials::renewal::Severity;
use crate::settings::TokenApi;
use crate::store::{SharedStore, keys};
use crate::wechat::{CallError, ErrCode, Issued};

impl Token {
    /// True if WeChat gives all replicas the same token, so that a call does not invalidate another replica's.
    pub(super) fn is_stable(&self) -> bool {
        self.issuer.token_api() == TokenApi::Stable
    }

    /// Asks for a token. `force_refresh` is used only if WeChat returns a stable token that it has rejected, and no more
    /// often than WeChat allows (C10).
    pub(super) async fn issue(&self, trigger: Trigger, held_lock: Option<&HeldLock>) -> Result<Issued, Unavailable> {
        self.report_foreign_invalidation().await;
        if trigger != Trigger::Operator
            && let Some(refusal) = self.adopt_wait().await
        {
            return Err(refusal);
        }
        let issued = self.call(held_lock, false).await?;
        if !self.slot.history.is_rejected(&issued.value) {
            return Ok(issued);
        }
        if self.is_stable() && self.budget.may_force().await {
            tracing::info!(app_id = %self.app_id, "WeChat returned the token that it rejects: using force_refresh");
            let forced = self.call(held_lock, true).await?;
            if !self.slot.history.is_rejected(&forced.value) {
                return Ok(forced);
            }
        }
        self.unanswered.settle().await;
        Err(self.back_off_from_rejection(Severity::Reissued).await)
    }

    /// WeChat rejects what it has just issued: makes the whole cluster wait, longer each time.
    pub(super) async fn back_off_from_rejection(&self, severity: Severity) -> Unavailable {
        let why = match severity {
            Severity::Reissued => Unavailable::reissued(),
            _ => Unavailable::soon("new access_tokens are rejected soon after they are issued"),
        };
        let why = self.rejections.fail(severity, why, Duration::ZERO);
        if !why.retry_after.is_zero() {
            self.reports.tokens_rejected(&why);
            let failures = self.rejections.failures().to_string();
            // If the store fails here, each replica waits by itself.
            let key = keys::TOKEN_REJECTED.of_account(&self.app_id);
            let _ = self.store.set_if_absent(&key, &failures, why.retry_after).await;
            if self.rejections.refusal().is_none() {
                // The wait was ended before its mark was written.
                let _ = self.store.compare_and_delete(&key, &failures).await;
            }
        }
        why
    }

    /// Ends that wait for the whole cluster: a token has proved good, or the AppSecret has changed.
    pub(crate) async fn end_wait_for_rejections(&self) {
        // Removed twice, before and after ending our own wait: a renewal may have read the mark before the first removal,
        // and one that has just begun to wait may have written it before the second.
        self.remove_mark_of_rejections().await;
        self.rejections.clear();
        self.remove_mark_of_rejections().await;
    }

    async fn remove_mark_of_rejections(&self) {
        let key = keys::TOKEN_REJECTED.of_account(&self.app_id);
        if let Ok(Some(entry)) = self.store.get(&key).await {
            let _ = self.store.compare_and_delete(&key, &entry.value).await;
        }
    }

    /// If another replica's new token was rejected, waits as long as that replica does, so that a cluster makes no more
    /// calls than one replica.
    async fn adopt_wait(&self) -> Option<Unavailable> {
        let key = keys::TOKEN_REJECTED.of_account(&self.app_id);
        let entry = self.store.get(&key).await.ok()??;
        let (failures, wait) = (entry.value.parse().ok()?, entry.ttl?);
        let why = Unavailable::soon("another replica has found that new access_tokens are rejected");
        Some(self.rejections.adopt_wait(failures, wait, why))
    }

    /// Updates the metric of today's calls, as far as this process knows.
    pub(crate) fn report_count(&self) {
        self.reports.token_calls(self.budget.spent());
    }

    /// Reports a token that was rejected long before it expired although no replica of ours replaced it (C5).
    async fn report_foreign_invalidation(&self) {
        let Some(dead) = self.slot.history.take_unaccounted() else {
            return;
        };
        if self.unanswered.exists().await {
            return;
        }
        let key = keys::FOREIGN_INVALIDATION.of_token(&self.app_id, &name_in_store(&dead.value));
        let ttl = keys::FOREIGN_INVALIDATION_TTL;
        // If the store fails here, each replica reports it.
        if self.store.set_if_absent(&key, "reported", ttl).await.unwrap_or(true) {
            self.reports.foreign_invalidation(&dead);
        }
    }

    async fn call(&self, held_lock: Option<&HeldLock>, force_refresh: bool) -> Result<Issued, Unavailable> {
        if let Err(spent) = self.budget.spend().await {
            return Err(self.refuse_over_budget(spent));
        }
        let all_answered = self.unanswered.begin().await;
        // Fencing: nothing that could take long may come between this check and the call. A process that was frozen while
        // it held the lock must not continue.
        if held_lock.is_some_and(|held_lock| !held_lock.lasts_for(self.policy.call_limit)) {
            if all_answered {
                self.unanswered.settle().await;
            }
            tracing::warn!(
                app_id = %self.app_id,
                "the lock expired before WeChat was called. What to do: raise credentials.lock_ttl if Redis is slow"
            );
            let why = Unavailable::soon("the lock expired before WeChat was called");
            // The attempt counts as one of the day's calls, so it must not be repeated at once.
            return Err(self.renewals.backoff.fail(Severity::Transient, why, self.pace()));
        }
        let issued = self.issuer.token(force_refresh).await;
        self.report_count();
        match issued {
            Ok(issued) => {
                self.renewals.backoff.clear();
                Ok(issued)
            }
            Err(error) => {
                if may_have_happened(&error) {
                    self.unanswered.lose();
                } else if all_answered {
                    self.unanswered.settle().await;
                }
                Err(self
                    .renewals
                    .failed(&error, ErrCode::meaning_of_token_call, self.pace()))
            }
        }
    }

    /// The minimum wait after a failed call. It ends well before a token in use expires.
    fn pace(&self) -> Duration {
        let pace = self.budget.pace();
        let held = self.slot.usable();
        held.map_or(pace, |held| pace.min(held.remaining() / 2))
    }

    fn refuse_over_budget(&self, spent: u64) -> Unavailable {
        let reason = format!(
            "{spent} token calls today reach credentials.daily_token_calls: no more are made before midnight in Beijing; see \
             the log for failed calls, the journal for who replaced the token"
        );
        tracing::error!(app_id = %self.app_id, "{reason}");
        let why = Unavailable::soon(reason);
        self.renewals.backoff.fail(Severity::Quota, why, Duration::ZERO)
    }
}

/// True if WeChat may have replaced the token although no usable answer came.
fn may_have_happened(error: &CallError) -> bool {
    match error {
        CallError::TimedOut | CallError::Interrupted(_) | CallError::Status(_) | CallError::Body(_) => true,
        CallError::Unreachable(_) | CallError::Refused { .. } => false,
    }
}

/// WeChat allows this many `force_refresh` calls per day.
const FORCED_PER_DAY: u64 = 20;

/// The day's token calls of one account, counted for the whole cluster.
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

    /// Spends one call. If all of the day's calls are spent, the error is their number.
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

    /// How many calls the whole cluster has made today; if the store is down, as far as this process knows.
    pub(crate) async fn spent_by_all(&self) -> u64 {
        self.learn(&today()).await
    }

    /// How many calls were made today, as far as this process knows.
    pub(crate) fn spent(&self) -> u64 {
        self.note(&today(), 0)
    }

    /// The minimum pause between failing calls, so that an outage of WeChat that lasts for a day does not use up the
    /// day's calls, however many replicas there are. Zero until half of them are spent, so that the end of most outages
    /// is noticed soon.
    pub(crate) fn pace(&self) -> Duration {
        let left = self.limit.saturating_sub(self.spent());
        if left > self.limit / 2 || self.limit == 0 {
            return Duration::ZERO;
        }
        Duration::from_hours(24) / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
    }

    /// Reads how many calls were made on `day`. If the store has lost its data, restores the count that this process knows.
    async fn learn(&self, day: &str) -> u64 {
        let key = keys::token_calls(&self.app_id, day);
        let Ok(entry) = self.store.get(&key).await else {
            return self.note(day, 0);
        };
        let stored = entry.map(|entry| entry.value);
        let calls = stored.as_ref().and_then(|value| value.parse().ok()).unwrap_or(0);
        let known = self.note(day, calls);
        if known > calls {
            // If another replica was faster, the next read finds its count.
            let value = known.to_string();
            let written = self
                .store
                .compare_and_set(&key, stored.as_deref(), &value, keys::DAY_COUNT_TTL);
            let _ = written.await;
        }
        known
    }

    /// Notes that at least `calls` calls were made on `day`; returns the known number.
    fn note(&self, day: &str, calls: u64) -> u64 {
        let mut known = self.known.lock();
        if known.day != day {
            *known = Count {
                day: day.to_owned(),
                calls,
            };
        }
        known.calls = known.calls.max(calls);
        known.calls
    }

    /// Whether `force_refresh` may be used now; if so, it counts as used. Not while the store is down, when it is unknown
    /// how often the other replicas have used it.
    pub(crate) async fn may_force(&self) -> bool {
        let last = keys::FORCE_REFRESH.of_account(&self.app_id);
        let count = keys::force_refresh_calls(&self.app_id, &today());
        self.store.set_if_absent(&last, "used", keys::FORCE_REFRESH_TTL).await == Ok(true)
            && matches!(self.store.increment(&count, keys::DAY_COUNT_TTL).await, Ok(used) if used <= FORCED_PER_DAY)
    }
}

/// Today's date in Beijing, by which WeChat counts calls per day.
pub(super) fn today() -> String {
    beijing(SystemTime::now()).0
}
