//! One call to WeChat for a token: counted, fenced, and marked until its outcome is known.

use super::Token;
use crate::credentials::backoff::Severity;
use crate::credentials::error::Unavailable;
use crate::credentials::lock::Lease;
use crate::settings::TokenApi;
use crate::wechat::{CallError, ErrCode, Issued};

impl Token {
    /// True if all replicas get the same token, so that a call invalidates no other replica's token.
    pub(super) fn calls_are_harmless(&self) -> bool {
        self.issuer.token_api() == TokenApi::Stable
    }

    /// Asks for a token. `force_refresh` is used only if WeChat gives back a stable token that it has rejected, and
    /// no more often than WeChat allows (C10).
    pub(super) async fn issue(&self, lease: Option<&Lease>) -> Result<Issued, Unavailable> {
        self.report_foreign_invalidation().await;
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
        let why = Unavailable::soon("WeChat goes on issuing the token that it rejects");
        Err(self.renewals.backoff.fail(Severity::Passing, why))
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
