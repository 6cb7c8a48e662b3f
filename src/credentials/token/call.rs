//! One call to WeChat for a token: counted, fenced, and marked until its outcome is known.

use super::Token;
use crate::credentials::backoff::Severity;
use crate::credentials::credential::Trigger;
use crate::credentials::error::Unavailable;
use crate::credentials::lock::Lease;
use crate::settings::TokenApi;
use crate::store::keys;
use crate::wechat::{CallError, ErrCode, Issued};

impl Token {
    /// True if all replicas get the same token, so that a call invalidates no other replica's token.
    pub(super) fn calls_are_harmless(&self) -> bool {
        self.issuer.token_api() == TokenApi::Stable
    }

    /// Asks for a token. `force_refresh` is used only if WeChat gives back a stable token that it has rejected, and
    /// no more often than WeChat allows (C10).
    pub(super) async fn issue(&self, trigger: Trigger, lease: Option<&Lease>) -> Result<Issued, Unavailable> {
        self.report_foreign_invalidation().await;
        if trigger != Trigger::Operator
            && let Some(refusal) = self.wait_with_another().await
        {
            return Err(refusal);
        }
        let issued = self.call(lease, false).await?;
        if !self.slot.is_rejected(&issued.value) {
            return Ok(issued);
        }
        if self.calls_are_harmless() && self.budget.may_force().await {
            tracing::info!(app_id = %self.app_id, "WeChat gave back the token that it rejects: force_refresh");
            let forced = self.call(lease, true).await?;
            if !self.slot.is_rejected(&forced.value) {
                return Ok(forced);
            }
        }
        self.unanswered.settle().await;
        Err(self.back_off_from_rejection(Severity::Reissued).await)
    }

    /// WeChat rejects what it has issued just now: makes the whole cluster wait, longer each time.
    pub(super) async fn back_off_from_rejection(&self, severity: Severity) -> Unavailable {
        let why = match severity {
            Severity::Reissued => Unavailable::reissued(),
            _ => Unavailable::soon("new access_tokens are rejected at once"),
        };
        let why = self.rejections.fail(severity, why);
        if !why.retry_after.is_zero() {
            self.reports.tokens_rejected(&why);
            let failures = self.rejections.failures().to_string();
            // If the store fails here, each replica waits by itself.
            let key = keys::token_rejected(&self.app_id);
            let _ = self.store.set_if_absent(&key, &failures, why.retry_after).await;
        }
        why
    }

    /// Ends that wait for the whole cluster: a token has proved good, or the AppSecret is another one.
    pub(crate) async fn end_wait_for_rejections(&self) {
        self.rejections.clear();
        let key = keys::token_rejected(&self.app_id);
        if let Ok(Some(entry)) = self.store.get(&key).await {
            let _ = self.store.compare_and_delete(&key, &entry.value).await;
        }
    }

    /// If another replica's new token was rejected, this one waits as long, so that a cluster makes no more calls
    /// than one replica.
    async fn wait_with_another(&self) -> Option<Unavailable> {
        let entry = self.store.get(&keys::token_rejected(&self.app_id)).await.ok()??;
        let (failures, wait) = (entry.value.parse().ok()?, entry.ttl?);
        let why = Unavailable::soon("another replica has found that new access_tokens are rejected");
        Some(self.rejections.wait_with_another(failures, wait, why))
    }

    /// Exports today's count, as far as this process knows it.
    pub(crate) fn report_count(&self) {
        self.reports.token_calls(self.budget.spent());
    }

    /// Reports a token that died long before its end although no replica of ours replaced it (C5).
    async fn report_foreign_invalidation(&self) {
        if let Some(dead) = self.slot.take_unaccounted()
            && !self.unanswered.exists().await
        {
            self.reports.foreign_invalidation(&dead);
        }
    }

    async fn call(&self, lease: Option<&Lease>, force_refresh: bool) -> Result<Issued, Unavailable> {
        if let Err(spent) = self.budget.spend().await {
            return Err(self.refuse_over_budget(spent));
        }
        let all_answered = self.unanswered.begin().await;
        // Fencing: nothing that could take long may come between this check and the call. A process that was frozen
        // while it held the lock wakes up here, and must not go on.
        if lease.is_some_and(|lease| !lease.lasts_for(self.policy.call_limit)) {
            if all_answered {
                self.unanswered.settle().await;
            }
            return Err(Unavailable::soon("the lock ran out before WeChat was called"));
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
                Err(self.renewals.failed(&error, ErrCode::meaning_of_token_call))
            }
        }
    }

    fn refuse_over_budget(&self, spent: u64) -> Unavailable {
        let reason = format!(
            "{spent} token calls today reach credentials.daily_token_calls: none is made before midnight in Beijing; \
             look in the journal for who replaces the token"
        );
        tracing::error!(app_id = %self.app_id, "{reason}");
        self.renewals.backoff.fail(Severity::Quota, Unavailable::soon(reason))
    }
}

/// True if WeChat may have replaced the token though no usable answer came.
fn may_have_happened(error: &CallError) -> bool {
    match error {
        CallError::TimedOut | CallError::Interrupted(_) | CallError::Status(_) | CallError::Body(_) => true,
        CallError::Unreachable(_) | CallError::Refused { .. } => false,
    }
}
