//! The renewal of a `jsapi_ticket`.

use std::sync::Arc;

use tokio::time::Instant;

use super::Unavailable;
use super::account::{AccountCredentials, Outcome, rejects_token};
use super::credential::{Credential, Kind};
use super::exchange::Claim;
use super::policy::Policy;
use super::renewal::Trigger;
use super::shelf::Standing;
use crate::store::keys;
use crate::wechat::{CallError, ErrCode};

impl AccountCredentials {
    /// Asks WeChat for the ticket, with a token that it accepts.
    pub(super) async fn renew_ticket(self: &Arc<Self>, trigger: Trigger) -> Outcome {
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
        let outcome = if let Some(ticket) = self.asked_by_another(trigger).await {
            Ok(ticket)
        } else {
            let asked = self.cut_off.run_until_cancelled(self.ask_for_ticket(token, seen)).await;
            asked.unwrap_or_else(|| Err(Unavailable::ending().into()))
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
        keys::ticket_asked(&self.app_id)
    }
}

/// How a ticket is not had.
enum TicketFailure {
    TokenRejected(CallError),
    Unavailable(Unavailable),
}

impl From<Unavailable> for TicketFailure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}
