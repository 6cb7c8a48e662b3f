//! The account's `access_token`: lent to calls, replaced if WeChat rejects it, renewed.

mod call;

use std::future::Future;
use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::account::AppId;
use crate::clock::Moment;
use crate::credentials::credential::{
    Credential, Kind, POLL, Policy, TokenCallError, Trigger, Unavailable, name_in_store, rejects_token,
};
use crate::credentials::lock::{Acquisition, Lock};
use crate::credentials::parameters::{Issuer, Parameters};
use crate::credentials::renewal::{Backoff, CredentialResult, Renewals, Severity};
use crate::credentials::report::Reports;
use crate::credentials::slot::{Slot, UnansweredCall};
use crate::store::{SharedStore, keys};
use crate::wechat::CallError;
use call::Budget;

pub(crate) struct Token {
    app_id: AppId,
    pub(crate) slot: Slot,
    pub(crate) renewals: Renewals,
    issuer: Arc<dyn Issuer>,
    pub(crate) budget: Budget,
    unanswered: Arc<UnansweredCall>,
    lock: Lock,
    /// Spaces out token calls while WeChat rejects what it has just issued: another system replaces our tokens as fast as
    /// we obtain them, or WeChat keeps issuing the token that it rejects. It is cleared only by a token that stays good
    /// for a while, not by the answer to a call.
    rejections: Backoff,
    store: Arc<dyn SharedStore>,
    policy: Policy,
    reports: Reports,
    /// Ends calls to WeChat, so that the lock is still released.
    cut_off: CancellationToken,
}

impl Token {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let unanswered = Arc::new(UnansweredCall::new(parameters));
        let (app_id, policy) = (parameters.app_id.clone(), parameters.policy.clone());
        Self {
            slot: Slot::new(parameters, Kind::AccessToken, Some(Arc::clone(&unanswered))),
            renewals: Renewals::new(parameters, Kind::AccessToken),
            issuer: Arc::clone(&parameters.issuer),
            budget: Budget::new(parameters.store(), app_id.clone(), policy.settings.daily_token_calls),
            app_id,
            unanswered,
            lock: Lock::new(parameters, policy.settings.lock_key.fill(&parameters.app_id)),
            rejections: Backoff::new(policy.jitter.clone()),
            store: parameters.store(),
            policy,
            reports: parameters.reports.clone(),
            cut_off: parameters.services.cut_off.clone(),
        }
    }

    /// The token; waits for it if there is none.
    pub(crate) async fn get(self: &Arc<Self>) -> CredentialResult {
        match self.slot.usable() {
            Some(token) => Ok(token),
            None => self.renew(Trigger::Missing).await,
        }
    }

    /// Makes `call` with the token. If WeChat rejects that token, another one is obtained, once for the whole cluster,
    /// and the call is retried once (C4).
    pub(crate) async fn lend<T, F, Fut>(self: &Arc<Self>, call: F) -> Result<T, TokenCallError>
    where
        F: Fn(Arc<Credential>) -> Fut + Send,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let token = self.get().await?;
        let error = match call(Arc::clone(&token)).await {
            Err(error) if rejects_token(&error) => error,
            other => return Ok(other?),
        };
        let token = self.replace_rejected(&token, &error).await?;
        let outcome = call(Arc::clone(&token)).await;
        if let Err(error) = &outcome
            && rejects_token(error)
        {
            self.invalidate(&token, error).await;
        }
        Ok(outcome?)
    }

    /// Obtains another token in place of `dead`, which WeChat has rejected with `error`.
    pub(crate) async fn replace_rejected(
        self: &Arc<Self>,
        dead: &Arc<Credential>,
        error: &CallError,
    ) -> CredentialResult {
        self.invalidate(dead, error).await;
        // The first renewal that is joined may have begun before this rejection; the second has not.
        for _ in 0..2 {
            let token = match self.slot.usable() {
                Some(token) => token,
                None => self.renew(Trigger::Rejected).await?,
            };
            if token.value != dead.value {
                return Ok(token);
            }
        }
        Err(Unavailable::reissued())
    }

    /// Drops `dead` everywhere, but only if it is still the one in use.
    async fn invalidate(&self, dead: &Arc<Credential>, error: &CallError) {
        if !self.slot.reject(dead) {
            return;
        }
        self.reports.rejected(dead, error);
        // If it is rejected so soon, another system has taken over.
        if dead.held_since.elapsed() < dead.tenth_of_lifetime() {
            self.back_off_from_rejection(Severity::Takeover).await;
        } else {
            self.end_wait_for_rejections().await;
        }
        self.slot.shared.remove(&dead.value).await;
    }

    /// Renews the token, or waits for the renewal that is running.
    pub(crate) async fn renew(self: &Arc<Self>, trigger: Trigger) -> CredentialResult {
        let token = Arc::clone(self);
        let start = async move || token.run_renewal(trigger).await;
        // An operator's renewal may join one that can call WeChat, but not one that the back-off refuses.
        let ignores_backoff = trigger == Trigger::Operator && self.refusal().is_some();
        self.renewals.join_or_start(ignores_backoff, start).await
    }

    async fn run_renewal(&self, trigger: Trigger) -> CredentialResult {
        if trigger != Trigger::Operator {
            if let Some(refusal) = self.renewals.backoff.refusal() {
                return Err(refusal);
            }
            if let Some(refusal) = self.rejections.refusal() {
                return self.obtained_by_another(trigger).await.ok_or(refusal);
            }
        }
        let before = self.slot.held();
        self.renewals.measured(trigger, before, self.fetch(trigger)).await
    }

    /// The token that another replica has obtained while this one backs off from rejections.
    async fn obtained_by_another(&self, trigger: Trigger) -> Option<Arc<Credential>> {
        // Refused callers may retry at once, which must not load the store. The pause comes before the read, so that
        // callers that join meanwhile get what is stored by then.
        let began = Moment::now();
        sleep(POLL).await;
        self.slot.check_store(trigger, began).await.ok()?.0
    }

    async fn fetch(&self, trigger: Trigger) -> CredentialResult {
        let (held_lock, seen) = match self.lock.acquire(&self.slot, trigger).await? {
            Acquisition::Adopted(token) => return Ok(token),
            Acquisition::Locked(held_lock, seen) => (Some(held_lock), seen),
            // Every replica gets the same stable token, so it is safe to ask without the lock (C7).
            Acquisition::Alone(_) if self.is_stable() => (None, None),
            Acquisition::Alone(why) => {
                let why = format!("{why}. A classic token fetched alone may invalidate the one that others use");
                return Err(self.renewals.not_tried(why));
            }
        };
        let issuing = self.issue(trigger, held_lock.as_ref());
        let issued = self.cut_off.run_until_cancelled(issuing).await;
        let outcome = match issued.unwrap_or_else(|| Err(Unavailable::shutting_down())) {
            Ok(issued) => {
                let ends = issued.asked_at + issued.expires_in;
                let credential = self.policy.credential(Kind::AccessToken, issued.value, ends);
                self.mark_as_ours(&credential).await;
                let published = self
                    .slot
                    .publish(trigger, seen, credential, issued.asked_at, held_lock.as_ref());
                let token = published.await;
                self.unanswered.settle().await;
                Ok(token)
            }
            Err(unavailable) => Err(unavailable),
        };
        if let Some(held_lock) = held_lock {
            held_lock.release().await;
        }
        outcome
    }

    /// Marks `token` in the shared store, so that every replica recognises it when a client sends it. Done before any
    /// client is given the token, since it may be rejected at once.
    pub(crate) async fn mark_as_ours(&self, token: &Credential) {
        let key = keys::HANDED_OUT.of_token(&self.app_id, &name_in_store(&token.value));
        // If the store fails here, the worst outcome is that a client gets a 40001.
        let _ = self.store.set_if_absent(&key, "handed out", token.remaining()).await;
    }

    /// The back-off that currently prevents a token call, if any.
    pub(crate) fn refusal(&self) -> Option<Unavailable> {
        self.renewals.backoff.refusal().or_else(|| self.rejections.refusal())
    }

    /// Ends waits that have lost their reason: those after rejections once the token has stayed good for a while, and
    /// those after failed calls when WeChat's next day of counting begins, since they may be as long as a day to save
    /// calls. `day` is the day of the previous check.
    pub(crate) async fn end_needless_waits(&self, day: &mut String) {
        let stays_good = |held: Arc<Credential>| held.held_since.elapsed() >= held.tenth_of_lifetime();
        if self.slot.usable().is_some_and(stays_good) && self.rejections.refusal().is_some() {
            self.end_wait_for_rejections().await;
        }
        let today = call::today();
        if *day != today {
            self.renewals.backoff.clear();
            *day = today;
        }
    }

    /// Notices if a classic token may have been replaced by a replica that died during its call. A replica that has only
    /// lost the answer retries sooner.
    pub(crate) async fn notice_unanswered_call(&self) {
        if !self.is_stable() {
            self.unanswered.take_over(self.policy.settings.lock_ttl * 2).await;
        }
    }

    /// The reason to renew now; `None` if no renewal is due.
    pub(crate) fn due(&self) -> Option<Trigger> {
        if self.refusal().is_some() {
            return None;
        }
        let Some(held) = self.slot.usable() else {
            return Some(Trigger::Missing);
        };
        if self.unanswered.is_in_doubt() {
            return Some(Trigger::Unanswered);
        }
        (Moment::now() >= held.renew_at).then_some(Trigger::Expiring)
    }
}
