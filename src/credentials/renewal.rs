//! One renewal, from the look at what others have to the release of the lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::Unavailable;
use super::account::{AccountCredentials, Outcome, Slot, rejects_token};
use super::backoff::Severity;
use super::credential::{Credential, Kind};
use super::journal::Event;
use super::lock;
use super::policy::Policy;
use super::shelf::Standing;
use crate::secret::Secret;
use crate::settings::TokenApi;
use crate::store::StoreError;
use crate::wechat::{CallError, ErrCode, Issued, Meaning};

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
    fn label(self) -> &'static str {
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

/// How a renewal may go on after the look at the shared store.
enum Claim {
    /// Somebody else has got one, and it is in use here now.
    Adopted(Arc<Credential>),
    /// The cluster waits for us; this is what stood in the store when the lock was ours.
    Locked(lock::Held, Option<Standing>),
    /// The shared store is down, so nobody knows what the other replicas do.
    Alone(StoreError),
}

/// How long a replica that waits for another one's credential pauses between two looks.
const POLL: Duration = Duration::from_millis(50);

impl AccountCredentials {
    /// Renews `kind`, or waits for the renewal under way. It runs as a task of its own, so no caller
    /// that hangs up can cut it short (C11).
    pub(super) async fn renew(self: &Arc<Self>, kind: Kind, trigger: Trigger) -> Outcome {
        let start = || Arc::clone(self).renewal(kind, trigger);
        let outcome = self.slot(kind).flight.join(&self.tasks, start).await;
        outcome.unwrap_or_else(|| Err(Unavailable::soon("the renewal panicked")))
    }

    /// Boxed because a ticket's renewal may begin with the token's.
    fn renewal(self: Arc<Self>, kind: Kind, trigger: Trigger) -> BoxFuture<'static, Outcome> {
        async move { self.run_renewal(kind, trigger).await }.boxed()
    }

    async fn run_renewal(self: &Arc<Self>, kind: Kind, trigger: Trigger) -> Outcome {
        let slot = self.slot(kind);
        let fight = || self.fights.refusal().filter(|_| kind == Kind::AccessToken);
        if trigger != Trigger::Operator
            && let Some(refusal) = slot.backoff.refusal().or_else(fight)
        {
            return Err(refusal);
        }
        let before = slot.cell.held();
        let outcome = match kind {
            Kind::AccessToken => self.renew_token(trigger).await,
            Kind::JsapiTicket => self.renew_ticket(trigger).await,
        };
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
        let outcome = match self.issue_token(lock.as_ref()).await {
            Ok(issued) => {
                let ends = issued.asked_at + issued.expires_in;
                let credential = self.policy.credential(Kind::AccessToken, issued.value, ends);
                Ok(self.publish(slot, seen, credential, issued.asked_at).await)
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
        // A process that was frozen while it held the lock wakes up here, and must not go on.
        if lock.is_some_and(|lock| !lock.lasts_for(self.policy.call_limit)) {
            return Err(Unavailable::soon("the lock ran out before WeChat was called"));
        }
        self.report_foreign();
        let issued = self.call_for_token(false).await?;
        if !self.token.past.rejected(&issued.value) {
            return Ok(issued);
        }
        if self.issuer.token_api() == TokenApi::Stable && self.budget.may_force().await {
            tracing::info!(app_id = %self.app_id, "WeChat gave back the token that it rejects: force_refresh");
            let forced = self.call_for_token(true).await?;
            if !self.token.past.rejected(&forced.value) {
                return Ok(forced);
            }
        }
        let why = Unavailable::soon("WeChat goes on issuing the token that it rejects");
        Err(self.token.backoff.fail(Severity::Passing, why))
    }

    async fn call_for_token(&self, force_refresh: bool) -> Result<Issued, Unavailable> {
        if let Err(spent) = self.budget.spend().await {
            let reason = format!(
                "{spent} token calls today reach credentials.daily_token_calls: none is made before midnight in Beijing; \
                 look in the journal for who replaces the token"
            );
            tracing::error!(app_id = %self.app_id, "{reason}");
            return Err(self.token.backoff.fail(Severity::Quota, Unavailable::soon(reason)));
        }
        let issued = self.issuer.token(force_refresh).await;
        self.metrics
            .calls_today
            .with_label_values(&[self.app_id.as_str()])
            .set(self.budget.spent().cast_signed());
        match issued {
            Ok(issued) => {
                self.token.backoff.clear();
                self.in_doubt.store(false, Ordering::Relaxed);
                Ok(issued)
            }
            Err(error) => {
                self.in_doubt.store(may_have_happened(&error), Ordering::Relaxed);
                Err(self.note_failure(&self.token, &error, ErrCode::meaning_of_token_call))
            }
        }
    }

    async fn renew_ticket(self: &Arc<Self>, trigger: Trigger) -> Outcome {
        let token = self.token().await?;
        let error = match self.fetch_ticket(trigger, &token).await {
            Err(TicketFailure::TokenRejected(error)) => error,
            Err(TicketFailure::Unavailable(unavailable)) => return Err(unavailable),
            Ok(ticket) => return Ok(ticket),
        };
        // The token's renewal needs the lock, which fetch_ticket has released by now.
        let token = self.replace_rejected(&token, &error).await?;
        self.fetch_ticket(trigger, &token)
            .await
            .map_err(|failure| match failure {
                TicketFailure::Unavailable(unavailable) => unavailable,
                TicketFailure::TokenRejected(error) => self.note_failure(&self.ticket, &error, ErrCode::meaning),
            })
    }

    async fn fetch_ticket(&self, trigger: Trigger, token: &Credential) -> Result<Arc<Credential>, TicketFailure> {
        let slot = &self.ticket;
        let (lock, seen) = match self.claim(slot, trigger).await? {
            Claim::Adopted(credential) => return Ok(credential),
            Claim::Locked(lock, seen) => (Some(lock), seen),
            // Asking for the ticket kills nothing.
            Claim::Alone(_) => (None, None),
        };
        let outcome = match self.asked_by_another(trigger).await {
            Some(ticket) => Ok(ticket),
            None => self.ask_for_ticket(token, seen).await,
        };
        if let Some(lock) = lock {
            lock.release().await;
        }
        outcome
    }

    async fn ask_for_ticket(
        &self,
        token: &Credential,
        seen: Option<Standing>,
    ) -> Result<Arc<Credential>, TicketFailure> {
        let slot = &self.ticket;
        let issued = match self.issuer.ticket(&token.value).await {
            Ok(issued) => issued,
            Err(error) if rejects_token(&error) => return Err(TicketFailure::TokenRejected(error)),
            Err(error) => return Err(self.note_failure(slot, &error, ErrCode::meaning).into()),
        };
        slot.backoff.clear();
        let held = slot.cell.held().map(|held| (held.value.clone(), held.expires_at));
        let standing = seen
            .as_ref()
            .and_then(|seen| Some((seen.value.clone(), seen.expires_at?)));
        let known_end = held
            .into_iter()
            .chain(standing)
            .filter(|(value, _)| *value == issued.value)
            .map(|(_, end)| end)
            .min();
        let ends = Policy::ticket_end(issued.asked_at, issued.expires_in, known_end);
        let credential = self.policy.credential(Kind::JsapiTicket, issued.value, ends);
        let ticket = self.publish(slot, seen, credential, issued.asked_at).await;
        // A store that fails here costs one more getticket call by another replica.
        let _ = self
            .store
            .set_if_absent(&self.asked_key(), "asked", self.policy.ticket_max_age.mul_f64(0.9))
            .await;
        Ok(ticket)
    }

    /// Where a ticket is only due because of its age, and another replica has asked WeChat about it
    /// lately, with the same ticket as the answer: nothing to do before its mark ends.
    async fn asked_by_another(&self, trigger: Trigger) -> Option<Arc<Credential>> {
        let held = self.ticket.cell.usable().filter(|_| trigger == Trigger::Aged)?;
        let mark = self.store.get(&self.asked_key()).await.ok()??.ttl?;
        let (value, expires_at) = (held.value.clone(), held.expires_at);
        let renewed = self.policy.credential(Kind::JsapiTicket, value, expires_at);
        let renew_at = renewed.renew_at.min(Instant::now() + mark);
        let ticket = Arc::new(Credential { renew_at, ..renewed });
        self.hold(&self.ticket, &ticket);
        Some(ticket)
    }

    fn asked_key(&self) -> String {
        format!("wxgate:ticket_asked:{}", self.app_id)
    }

    /// Waits for the credential rather than for the lock: most of those who wait never need it.
    async fn claim(&self, slot: &Slot, trigger: Trigger) -> Result<Claim, Unavailable> {
        let give_up = Instant::now() + self.policy.lock_wait;
        loop {
            match self.try_claim(slot, trigger).await {
                Ok(Some(claim)) => return Ok(claim),
                Ok(None) if Instant::now() < give_up => {
                    sleep(self.policy.jitter.spread(POLL, 0.5..=1.5)).await;
                }
                Ok(None) => {
                    return Err(Unavailable::soon(
                        "another replica holds the lock and has published nothing yet",
                    ));
                }
                Err(error) => return Ok(Claim::Alone(error)),
            }
        }
    }

    async fn try_claim(&self, slot: &Slot, trigger: Trigger) -> Result<Option<Claim>, StoreError> {
        if let Some(credential) = self.adopt(slot, trigger, slot.shelf.read().await?.as_ref()) {
            return Ok(Some(Claim::Adopted(credential)));
        }
        let Some(lock) = lock::try_acquire(&self.store, &self.lock_key, self.policy.lock_ttl).await? else {
            return Ok(None);
        };
        // Between the look and the lock somebody may have published and left.
        let claim = match slot.shelf.read().await {
            Ok(seen) => match self.adopt(slot, trigger, seen.as_ref()) {
                Some(credential) => Ok(Claim::Adopted(credential)),
                None => return Ok(Some(Claim::Locked(lock, seen))),
            },
            Err(error) => Err(error),
        };
        lock.release().await;
        claim.map(Some)
    }

    /// Takes over what stands in the shared store, where that is good and newer than what is held.
    pub(super) fn adopt(&self, slot: &Slot, trigger: Trigger, standing: Option<&Standing>) -> Option<Arc<Credential>> {
        let standing = standing.filter(|standing| trigger != Trigger::Operator && slot.would_adopt(standing))?;
        let credential = self
            .policy
            .credential(slot.kind, standing.value.clone(), standing.expires_at?);
        let credential = Arc::new(credential);
        self.hold(slot, &credential);
        slot.past.explain();
        self.journal.note(
            &self.app_id,
            slot.kind,
            Event::Adopted,
            &credential.fingerprint,
            trigger.label(),
        );
        tracing::debug!(app_id = %self.app_id, kind = slot.kind.label(), credential = credential.fingerprint, "adopted");
        Some(credential)
    }

    /// Puts `credential` into the shared store in place of `seen`, and into use. Where something
    /// newer has come to stand there meanwhile (this process was frozen), that is used instead (C8).
    async fn publish(
        &self,
        slot: &Slot,
        seen: Option<Standing>,
        credential: Credential,
        asked_at: Instant,
    ) -> Arc<Credential> {
        // What the keeper has adopted while our call was under way comes from somebody who got the
        // lock after us: we were frozen, or the store has lost the lock.
        let meanwhile = |held: &Arc<Credential>| held.held_since > asked_at && held.value != credential.value;
        if let Some(newer) = slot.cell.usable().filter(meanwhile) {
            return newer;
        }
        slot.past.revive(&credential.value);
        let event = if slot.cell.held().is_some() {
            Event::Renewed
        } else {
            Event::Issued
        };
        let unchanged = slot.cell.held().is_some_and(|held| held.value == credential.value);
        if let Some(newer) = self.displace(slot, seen.map(|seen| seen.value), &credential).await {
            let adopted = self
                .adopt(slot, Trigger::Missing, Some(&newer))
                .or_else(|| slot.cell.usable());
            if let Some(adopted) = adopted {
                return adopted;
            }
        }
        let credential = Arc::new(credential);
        self.hold(slot, &credential);
        if !unchanged {
            let (app_id, kind, life) = (&self.app_id, slot.kind.label(), credential.remaining().as_secs());
            tracing::info!(%app_id, kind, credential = credential.fingerprint, life, "{}", event.label());
            self.journal.note(
                app_id,
                slot.kind,
                event,
                &credential.fingerprint,
                &format!("for {life} s"),
            );
        }
        credential
    }

    /// Writes `credential` over `seen`, or over whatever older has come there since; answers what is
    /// newer, in which case nothing was written. A store that fails is written later, by the keeper.
    async fn displace(&self, slot: &Slot, mut seen: Option<Secret>, credential: &Credential) -> Option<Standing> {
        for _ in 0..3 {
            match slot.shelf.replace(seen.as_ref(), credential).await {
                Ok(true) | Err(_) => return None,
                Ok(false) => {}
            }
            let standing = slot.shelf.read().await.ok()?;
            match standing {
                // Also where the keeper has adopted it while we were frozen: then it is held already.
                Some(standing) if standing.value != credential.value && slot.is_current(&standing) => {
                    return Some(standing);
                }
                other => seen = other.map(|standing| standing.value),
            }
        }
        None
    }

    /// Tells of a token that died long before its end though nobody of ours replaced it (C5).
    fn report_foreign(&self) {
        let Some(dead) = self.token.past.take_foreign().filter(|_| !self.is_in_doubt()) else {
            return;
        };
        let left = dead.remaining().as_secs();
        let reason = format!("rejected {left} s before its end: another system fetched a token with this AppSecret");
        self.metrics.foreign.with_label_values(&[self.app_id.as_str()]).inc();
        self.journal.note(
            &self.app_id,
            Kind::AccessToken,
            Event::ForeignInvalidation,
            &dead.fingerprint,
            &reason,
        );
        tracing::error!(
            app_id = %self.app_id,
            token = dead.fingerprint,
            "foreign invalidation: the access_token was {reason}. Let that system ask wxgate's internal listener for its \
             tokens, or reset the AppSecret and give it to wxgate alone"
        );
    }

    /// Logs and journals a failed call, and lets nobody try again too soon (C9).
    fn note_failure(&self, slot: &Slot, error: &CallError, meaning: fn(ErrCode) -> Meaning) -> Unavailable {
        let errcode = error.errcode();
        let meaning = errcode.map_or(Meaning::Busy, meaning);
        let severity = match meaning {
            Meaning::Operator(_) => Severity::Operator,
            Meaning::Quota => Severity::Quota,
            Meaning::Busy | Meaning::TokenRejected | Meaning::MediaUnknown | Meaning::Unlisted => Severity::Passing,
        };
        let reason = format!("{}: {error}", slot.kind.label());
        let why = slot.backoff.fail(
            severity,
            Unavailable {
                errcode,
                ..Unavailable::soon(reason)
            },
        );
        let (app_id, kind, retry_in) = (&self.app_id, slot.kind.label(), why.retry_after);
        if let Meaning::Operator(cure) = meaning {
            tracing::error!(%app_id, kind, ?retry_in, "WeChat gives no credential: {error}. What to do: {cure}");
        } else {
            tracing::warn!(%app_id, kind, ?retry_in, "WeChat gives no credential: {error}");
        }
        self.journal
            .note(app_id, slot.kind, Event::RenewalFailed, "", &error.to_string());
        why
    }
}

impl Slot {
    /// True where `standing`, from the shared store, is good, and nothing that was in use here before
    /// (see [`super::past`]).
    pub(super) fn is_current(&self, standing: &Standing) -> bool {
        standing.expires_at.is_some_and(|ends| ends > Instant::now()) && !self.past.holds(&standing.value)
    }

    /// True where `standing` is to take the place of what is held. Where that would end sooner, it
    /// may be older or have been given a shorter life: then what is held stays until it dies.
    fn would_adopt(&self, standing: &Standing) -> bool {
        let outlives = |held: &Credential| held.value != standing.value && standing.expires_at > Some(held.expires_at);
        self.is_current(standing) && self.cell.usable().is_none_or(|held| outlives(&held))
    }
}

enum TicketFailure {
    TokenRejected(CallError),
    Unavailable(Unavailable),
}

impl From<Unavailable> for TicketFailure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// True where WeChat may have replaced the token though no usable answer came.
fn may_have_happened(error: &CallError) -> bool {
    match error {
        CallError::TimedOut | CallError::Interrupted(_) | CallError::Status(_) | CallError::Body(_) => true,
        CallError::Unreachable(_) | CallError::Refused { .. } => false,
    }
}
