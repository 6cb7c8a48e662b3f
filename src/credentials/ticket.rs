//! The account's tickets: the one for pages, read by signatures, and the one for cards, kept while clients ask for it.
//! Both are renewed with a token that WeChat accepts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::credential::{Credential, Kind, Policy, TokenCallError, Trigger, Unavailable, rejects_token};
use super::held_lock::HeldLock;
use super::lock::{Acquisition, Lock};
use super::parameters::{Issuer, Parameters};
use super::renewal::{CredentialResult, Renewals};
use super::slot::{NotShared, Slot, Stored};
use super::token::Token;
use crate::clock::Moment;
use crate::settings::TokenApi;
use crate::store::{SharedStore, keys};
use crate::wechat::{CallError, ErrCode};

/// How long the ticket for cards is kept fresh after a client has asked for it: longer than clients keep one.
const ASKED_RECENTLY: Duration = Duration::from_hours(3);

/// One of an account's tickets.
pub(super) struct Ticket {
    kind: Kind,
    /// WeChat's name for it.
    wechat_name: &'static str,
    /// When a client last asked for it, if it is the one for cards.
    last_asked: Mutex<Option<Moment>>,
    pub(super) slot: Slot,
    pub(super) renewals: Renewals,
    token: Arc<Token>,
    issuer: Arc<dyn Issuer>,
    lock: Lock,
    store: Arc<dyn SharedStore>,
    /// The key of the mark that a replica has recently asked WeChat for the ticket.
    asked_key: String,
    policy: Policy,
    /// Ends calls to WeChat, so that the lock is still released.
    cut_off: CancellationToken,
}

impl Ticket {
    pub(super) fn new(parameters: &Parameters, kind: Kind, token: Arc<Token>) -> Self {
        let (wechat_name, asked, lock) = if kind == Kind::CardTicket {
            ("wx_card", keys::CARD_TICKET_ASKED, keys::CARD_TICKET_LOCK)
        } else {
            ("jsapi", keys::TICKET_ASKED, keys::TICKET_LOCK)
        };
        Self {
            kind,
            wechat_name,
            last_asked: Mutex::default(),
            slot: Slot::new(parameters, kind, None),
            renewals: Renewals::new(parameters, kind),
            token,
            issuer: Arc::clone(&parameters.issuer),
            lock: Lock::new(parameters, lock.of_account(&parameters.app_id)),
            store: parameters.store(),
            asked_key: asked.of_account(&parameters.app_id),
            policy: parameters.policy.clone(),
            cut_off: parameters.services.cut_off.clone(),
        }
    }

    /// The ticket; waits for it if there is none.
    pub(super) async fn get(self: &Arc<Self>) -> CredentialResult {
        match self.slot.usable() {
            Some(ticket) => Ok(ticket),
            None => self.renew(Trigger::Missing).await,
        }
    }

    /// The ticket, which is kept fresh for [`ASKED_RECENTLY`] from now on.
    pub(super) async fn get_and_keep(self: &Arc<Self>) -> CredentialResult {
        *self.last_asked.lock() = Some(Moment::now());
        self.get().await
    }

    /// True if a client has asked for it recently.
    pub(super) fn is_asked_for(&self) -> bool {
        let last = *self.last_asked.lock();
        last.is_some_and(|at| at.elapsed() < ASKED_RECENTLY)
    }

    /// Renews the ticket, or waits for the renewal that is running.
    pub(super) async fn renew(self: &Arc<Self>, trigger: Trigger) -> CredentialResult {
        let ticket = Arc::clone(self);
        let start = async move || ticket.run_renewal(trigger).await;
        let ignores_backoff = trigger == Trigger::Operator && self.renewals.backoff.refusal().is_some();
        self.renewals.join_or_start(ignores_backoff, start).await
    }

    /// The back-off that prevents a call for the ticket now, if any: its own, or without a token, that of token calls.
    pub(super) fn refusal(&self) -> Option<Unavailable> {
        let of_token = || match self.token.slot.usable() {
            Some(_) => None,
            None => self.token.renewals.backoff.refusal(),
        };
        self.renewals.backoff.refusal().or_else(of_token)
    }

    async fn run_renewal(&self, trigger: Trigger) -> CredentialResult {
        if trigger != Trigger::Operator
            && let Some(refusal) = self.refusal()
        {
            return Err(refusal);
        }
        let before = self.slot.held();
        let renewing = async {
            // If this requires a token renewal, the lock has already been released by then.
            match self.token.lend(|token| self.fetch(trigger, token)).await {
                Ok(outcome) => outcome,
                Err(TokenCallError::Unavailable(unavailable)) => Err(unavailable),
                Err(TokenCallError::Call(error)) => Err(self.renewals.failed(&error, ErrCode::meaning, Duration::ZERO)),
            }
        };
        self.renewals.measured(trigger, before, renewing).await
    }

    /// Adopts the ticket or asks WeChat for it, under the lock. A `CallError` means that WeChat rejects `token`.
    async fn fetch(&self, trigger: Trigger, token: Arc<Credential>) -> Result<CredentialResult, CallError> {
        let (held_lock, seen) = match self.lock.acquire(&self.slot, trigger).await {
            Ok(Acquisition::Adopted(ticket)) => return Ok(Ok(ticket)),
            Ok(Acquisition::Locked(held_lock, seen)) => (Some(held_lock), seen),
            Ok(Acquisition::Alone(why @ NotShared::Foreign(_))) if self.issuer.token_api() == TokenApi::Classic => {
                return Ok(Err(Unavailable::soon(why.to_string())));
            }
            // Asking for the ticket invalidates nothing.
            Ok(Acquisition::Alone(_)) => (None, None),
            Err(unavailable) => return Ok(Err(unavailable)),
        };
        let outcome = if let Some(ticket) = self.asked_by_another(trigger).await {
            Ok(Ok(ticket))
        } else {
            let asking = self.ask_for_ticket(trigger, &token, seen, held_lock.as_ref());
            let asked = self.cut_off.run_until_cancelled(asking).await;
            asked.unwrap_or_else(|| Ok(Err(Unavailable::shutting_down())))
        };
        if let Some(held_lock) = held_lock {
            held_lock.release().await;
        }
        outcome
    }

    async fn ask_for_ticket(
        &self,
        trigger: Trigger,
        token: &Credential,
        seen: Option<Stored>,
        held_lock: Option<&HeldLock>,
    ) -> Result<CredentialResult, CallError> {
        let issued = match self.issuer.ticket(&token.value, self.wechat_name).await {
            Ok(issued) => issued,
            Err(error) if rejects_token(&error) => return Err(error),
            Err(error) => return Ok(Err(self.renewals.failed(&error, ErrCode::meaning, Duration::ZERO))),
        };
        self.renewals.backoff.clear();
        let held = self.slot.held().filter(|held| held.value == issued.value);
        // WeChat's nodes may answer with different tickets for a while.
        let former = self.slot.history.find(&issued.value);
        let stored = seen.as_ref().filter(|seen| seen.value == issued.value);
        let ends = [
            held.or(former).map(|known| known.expires_at),
            stored.and_then(|seen| seen.expires_at),
        ];
        let known_end = ends.into_iter().flatten().min();
        let ends = Policy::ticket_end(issued.asked_at, issued.expires_in, known_end);
        let credential = self.policy.credential(self.kind, issued.value, ends);
        let published = self.slot.publish(trigger, seen, credential, issued.asked_at, held_lock);
        let ticket = published.await;
        // Slightly less than the age at which tickets are due, so that the mark has expired by then.
        let ttl = self.policy.settings.ticket_max_age.mul_f64(0.9);
        // If the store fails here, another replica makes one more call for the ticket.
        let _ = self.store.set_if_absent(&self.asked_key, "asked", ttl).await;
        Ok(Ok(ticket))
    }

    /// The ticket in use, if only its age makes its renewal due and another replica has recently asked WeChat for it. It
    /// is kept until that replica's mark expires.
    async fn asked_by_another(&self, trigger: Trigger) -> Option<Arc<Credential>> {
        let held = self.slot.usable().filter(|_| trigger == Trigger::Aged)?;
        let mark = self.store.get(&self.asked_key).await.ok()??.ttl?;
        let renewed = self.policy.credential(self.kind, held.value.clone(), held.expires_at);
        let renew_at = renewed.renew_at.min(Moment::now() + mark);
        let ticket = Arc::new(Credential { renew_at, ..renewed });
        self.slot.put_into_use(&ticket);
        Some(ticket)
    }

    /// The reason to renew now; `None` if no renewal is due.
    pub(super) fn due(&self) -> Option<Trigger> {
        if self.refusal().is_some() {
            return None;
        }
        let Some(held) = self.slot.usable() else {
            return Some(Trigger::Missing);
        };
        let by_age = held.remaining() > self.policy.settings.refresh_ahead;
        let trigger = if by_age { Trigger::Aged } else { Trigger::Expiring };
        (Moment::now() >= held.renew_at).then_some(trigger)
    }
}
