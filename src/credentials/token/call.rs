//! One call to WeChat for a token: counted, fenced, and marked until its outcome is known.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use crate::account::AppId;
use crate::credentials::backoff::Severity;
use crate::credentials::error::Unavailable;
use crate::credentials::issuer::Issuer;
use crate::credentials::lock::Lease;
use crate::credentials::parameters::Parameters;
use crate::credentials::renewal::Renewals;
use crate::credentials::report::Reports;
use crate::credentials::slot::{Slot, UnansweredCall};
use crate::settings::TokenApi;
use crate::wechat::{CallError, ErrCode, Issued};

/// One account's token calls.
pub(crate) struct TokenCalls {
    app_id: AppId,
    issuer: Arc<dyn Issuer>,
    budget: Budget,
    unanswered: Arc<UnansweredCall>,
    /// The longest a call may take.
    limit: Duration,
    reports: Reports,
}

impl TokenCalls {
    pub(crate) fn new(parameters: &Parameters<'_>, unanswered: Arc<UnansweredCall>) -> Self {
        let (app_id, policy) = (&parameters.app_id, &parameters.policy);
        Self {
            app_id: app_id.clone(),
            issuer: Arc::clone(&parameters.issuer),
            budget: Budget::new(parameters.store(), app_id.clone(), policy.daily_token_calls),
            unanswered,
            limit: policy.call_limit,
            reports: parameters.reports(),
        }
    }

    /// True if all replicas get the same token, so that a call replaces nobody's.
    pub(crate) fn are_harmless(&self) -> bool {
        self.issuer.token_api() == TokenApi::Stable
    }

    /// Asks for a token. `force_refresh` is used only if WeChat gives back a stable token that it has rejected, and
    /// no more often than WeChat allows (C10).
    pub(crate) async fn issue(
        &self,
        slot: &Slot,
        renewals: &Renewals,
        lease: Option<&Lease>,
    ) -> Result<Issued, Unavailable> {
        self.report_foreign_invalidation(slot).await;
        let issued = self.call(renewals, lease, false).await?;
        if !slot.is_rejected(&issued.value) {
            return Ok(issued);
        }
        if self.are_harmless() && self.budget.may_force().await {
            tracing::info!(app_id = %self.app_id, "WeChat gave back the token that it rejects: force_refresh");
            let forced = self.call(renewals, lease, true).await?;
            if !slot.is_rejected(&forced.value) {
                return Ok(forced);
            }
        }
        self.settle().await;
        let why = Unavailable::soon("WeChat goes on issuing the token that it rejects");
        Err(renewals.back_off(Severity::Passing, why))
    }

    /// The outcome of the last call is known.
    pub(crate) async fn settle(&self) {
        self.unanswered.settle().await;
    }

    /// True if this process has lost the answer to a call.
    pub(crate) fn went_unanswered(&self) -> bool {
        self.unanswered.is_ours()
    }

    /// Learns what the cluster has spent today before this process began.
    pub(crate) async fn learn_count(&self) {
        self.budget.learn().await;
    }

    /// How many calls the whole cluster has made today.
    pub(crate) async fn count_today(&self) -> u64 {
        self.budget.spent_by_all().await
    }

    /// Exports today's count, as far as this process knows it.
    pub(crate) fn report_count(&self) {
        self.reports.token_calls(self.budget.spent());
    }

    /// Reports a token that died long before its end although no replica of ours replaced it (C5).
    async fn report_foreign_invalidation(&self, slot: &Slot) {
        if let Some(dead) = slot.take_unaccounted()
            && !self.unanswered.exists().await
        {
            self.reports.foreign_invalidation(&dead);
        }
    }

    async fn call(
        &self,
        renewals: &Renewals,
        lease: Option<&Lease>,
        force_refresh: bool,
    ) -> Result<Issued, Unavailable> {
        if let Err(spent) = self.budget.spend().await {
            return Err(self.refuse_over_budget(renewals, spent));
        }
        let all_answered = self.unanswered.begin().await;
        // Fencing: nothing that could take long may come between this check and the call. A process that was frozen
        // while it held the lock wakes up here, and must not go on.
        if lease.is_some_and(|lease| !lease.lasts_for(self.limit)) {
            if all_answered {
                self.settle().await;
            }
            return Err(Unavailable::soon("the lock ran out before WeChat was called"));
        }
        let issued = self.issuer.token(force_refresh).await;
        self.report_count();
        match issued {
            Ok(issued) => {
                renewals.succeeded();
                Ok(issued)
            }
            Err(error) => {
                if may_have_happened(&error) {
                    self.unanswered.lose();
                } else if all_answered {
                    self.settle().await;
                }
                Err(renewals.failed(&error, ErrCode::meaning_of_token_call))
            }
        }
    }

    fn refuse_over_budget(&self, renewals: &Renewals, spent: u64) -> Unavailable {
        let reason = format!(
            "{spent} token calls today reach credentials.daily_token_calls: none is made before midnight in Beijing; \
             look in the journal for who replaces the token"
        );
        tracing::error!(app_id = %self.app_id, "{reason}");
        renewals.back_off(Severity::Quota, Unavailable::soon(reason))
    }
}

/// True if WeChat may have replaced the token though no usable answer came.
fn may_have_happened(error: &CallError) -> bool {
    match error {
        CallError::TimedOut | CallError::Interrupted(_) | CallError::Status(_) | CallError::Body(_) => true,
        CallError::Unreachable(_) | CallError::Refused { .. } => false,
    }
}
