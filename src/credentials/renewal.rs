//! One renewal, from the look at what others have to the release of the lock.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::Unavailable;
use super::account::{AccountCredentials, Outcome};
use super::backoff::Severity;
use super::credential::Kind;
use super::exchange::Claim;
use super::lock;
use crate::settings::TokenApi;
use crate::telemetry::{TRACES, traced};
use crate::wechat::{CallError, ErrCode, Issued};

/// What caused a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// There is none.
    Missing,
    /// Its end is near.
    Expiring,
    /// A ticket that has not been asked for anew for `ticket_max_age`.
    Aged,
    /// WeChat rejected the one before.
    Rejected,
    /// A lost answer left it open whether it still is the account's token.
    InDoubt,
    /// An operator wants it.
    Operator,
}

impl Trigger {
    pub(super) fn label(self) -> &'static str {
        match self {
            Trigger::Missing => "missing",
            Trigger::Expiring => "expiring",
            Trigger::Aged => "aged",
            Trigger::Rejected => "rejected",
            Trigger::InDoubt => "in_doubt",
            Trigger::Operator => "operator",
        }
    }
}

impl AccountCredentials {
    /// Renews `kind`, or waits for the renewal under way. It runs as a task of its own, so no caller
    /// that hangs up can cut it short (C11).
    pub(super) async fn renew(self: &Arc<Self>, kind: Kind, trigger: Trigger) -> Outcome {
        let start = || Arc::clone(self).renewal(kind, trigger).in_current_span();
        let (ticket, _) = self.slot(kind).flight.join(&(), &self.tasks, start);
        ticket
            .await
            .unwrap_or_else(|_| Err(Unavailable::soon("the renewal panicked")))
    }

    /// Boxed because a ticket's renewal may begin with the token's.
    fn renewal(self: Arc<Self>, kind: Kind, trigger: Trigger) -> BoxFuture<'static, Outcome> {
        async move { self.run_renewal(kind, trigger).await }.boxed()
    }

    async fn run_renewal(self: &Arc<Self>, kind: Kind, trigger: Trigger) -> Outcome {
        let slot = self.slot(kind);
        if trigger != Trigger::Operator {
            if let Some(refusal) = slot.backoff.refusal() {
                return Err(refusal);
            }
            if let Some(refusal) = self.fights.refusal().filter(|_| kind == Kind::AccessToken) {
                return self.got_by_another(slot, trigger).await.ok_or(refusal);
            }
        }
        let before = slot.cell.held();
        let renewing = async {
            match kind {
                Kind::AccessToken => self.renew_token(trigger).await,
                Kind::JsapiTicket => self.renew_ticket(trigger).await,
            }
        };
        let span = tracing::info_span!(
            target: TRACES,
            "renew",
            otel.name = format!("renew {}", kind.label()),
            wxgate.app_id = self.app_id.as_str(),
            wxgate.trigger = trigger.label(),
        );
        let outcome = traced(span, renewing).await;
        let result = match (&outcome, before) {
            (Err(_), _) => "failed",
            (Ok(now), Some(before)) if now.value == before.value => "unchanged",
            (Ok(_), _) => "ok",
        };
        self.metrics
            .refreshes
            .with_label_values(&[self.app_id.as_str(), kind.label(), trigger.label(), result])
            .inc();
        outcome
    }

    async fn renew_token(&self, trigger: Trigger) -> Outcome {
        let slot = &self.token;
        let (lock, seen) = match self.claim(slot, trigger).await? {
            Claim::Adopted(credential) => return Ok(credential),
            Claim::Locked(lock, seen) => (Some(lock), seen),
            // Every replica gets the same stable token, so nothing is lost by asking alone (C7).
            Claim::Alone(_) if self.issuer.token_api() == TokenApi::Stable => (None, None),
            Claim::Alone(error) => {
                return Err(Unavailable::soon(format!(
                    "the shared store is down ({error}), and a classic token fetched without its lock may kill another replica's"
                )));
            }
        };
        let issued = self.cut_off.run_until_cancelled(self.issue_token(lock.as_ref())).await;
        let outcome = match issued.unwrap_or_else(|| Err(Unavailable::ending())) {
            Ok(issued) => {
                let ends = issued.asked_at + issued.expires_in;
                let credential = self.policy.credential(Kind::AccessToken, issued.value, ends);
                let token = self.publish(slot, seen, credential, issued.asked_at).await;
                self.doubt.settle().await;
                Ok(token)
            }
            Err(unavailable) => Err(unavailable),
        };
        if let Some(lock) = lock {
            lock.release().await;
        }
        outcome
    }

    /// Calls WeChat for a token. `force_refresh` only where a stable token that WeChat has rejected
    /// is given back, and no more often than WeChat allows (C10).
    async fn issue_token(&self, lock: Option<&lock::Held>) -> Result<Issued, Unavailable> {
        self.report_foreign().await;
        let issued = self.call_for_token(lock, false).await?;
        if !self.token.past.rejected(&issued.value) {
            return Ok(issued);
        }
        if self.issuer.token_api() == TokenApi::Stable && self.budget.may_force().await {
            tracing::info!(app_id = %self.app_id, "WeChat gave back the token that it rejects: force_refresh");
            let forced = self.call_for_token(lock, true).await?;
            if !self.token.past.rejected(&forced.value) {
                return Ok(forced);
            }
        }
        self.doubt.settle().await;
        let why = Unavailable::soon("WeChat goes on issuing the token that it rejects");
        Err(self.token.backoff.fail(Severity::Passing, why))
    }

    async fn call_for_token(&self, lock: Option<&lock::Held>, force_refresh: bool) -> Result<Issued, Unavailable> {
        if let Err(spent) = self.budget.spend().await {
            let reason = format!(
                "{spent} token calls today reach credentials.daily_token_calls: none is made before midnight in Beijing; \
                 look in the journal for who replaces the token"
            );
            tracing::error!(app_id = %self.app_id, "{reason}");
            return Err(self.token.backoff.fail(Severity::Quota, Unavailable::soon(reason)));
        }
        let undoubted = self.doubt.begin().await;
        // Nothing that could take long may stand between this look and the call: a process that was
        // frozen while it held the lock wakes up here, and must not go on.
        if lock.is_some_and(|lock| !lock.lasts_for(self.policy.call_limit)) {
            if undoubted {
                self.doubt.settle().await;
            }
            return Err(Unavailable::soon("the lock ran out before WeChat was called"));
        }
        let issued = self.issuer.token(force_refresh).await;
        self.metrics
            .calls_today
            .with_label_values(&[self.app_id.as_str()])
            .set(self.budget.spent().cast_signed());
        match issued {
            Ok(issued) => {
                self.token.backoff.clear();
                Ok(issued)
            }
            Err(error) => {
                if may_have_happened(&error) {
                    self.doubt.remain();
                } else if undoubted {
                    self.doubt.settle().await;
                }
                Err(self.note_failure(&self.token, &error, ErrCode::meaning_of_token_call))
            }
        }
    }
}

/// True where WeChat may have replaced the token though no usable answer came.
fn may_have_happened(error: &CallError) -> bool {
    match error {
        CallError::TimedOut | CallError::Interrupted(_) | CallError::Status(_) | CallError::Body(_) => true,
        CallError::Unreachable(_) | CallError::Refused { .. } => false,
    }
}
