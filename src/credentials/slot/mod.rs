//! The place of one credential: what is in use here, what was before, and what all replicas share.

mod history;
mod shared_entry;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::clock::Moment;
use crate::credentials::credential::{Credential, Kind, Policy, Trigger};
use crate::credentials::journal::Event;
use crate::credentials::parameters::Parameters;
use crate::credentials::report::Reports;
use crate::secret::Secret;

use history::History;
use shared_entry::SharedEntry;
pub(crate) use shared_entry::{ForeignEntry, NotShared, Stored, UnansweredCall, foreign_entry};

/// One account's token or ticket.
pub(crate) struct Slot {
    kind: Kind,
    /// What requests read: one atomic load, no lock.
    cell: ArcSwapOption<Credential>,
    pub(crate) history: History,
    pub(crate) shared: SharedEntry,
    policy: Policy,
    reports: Reports,
    /// The token's call whose answer may have been lost; what is adopted was obtained after it.
    unanswered: Option<Arc<UnansweredCall>>,
}

impl Slot {
    pub(crate) fn new(parameters: &Parameters, kind: Kind) -> Self {
        Self {
            kind,
            cell: ArcSwapOption::empty(),
            history: History::default(),
            shared: SharedEntry::new(parameters, kind),
            policy: parameters.policy.clone(),
            reports: parameters.reports(),
            unanswered: None,
        }
    }

    /// The same slot; once it adopts a token, `call` no longer counts as unanswered here.
    pub(crate) fn with_unanswered_call(self, call: Arc<UnansweredCall>) -> Self {
        Self {
            unanswered: Some(call),
            ..self
        }
    }

    /// What is in use here, ended or not.
    pub(crate) fn held(&self) -> Option<Arc<Credential>> {
        self.cell.load_full()
    }

    /// What is in use here and has not ended.
    pub(crate) fn usable(&self) -> Option<Arc<Credential>> {
        self.held().filter(|credential| credential.is_usable())
    }

    /// What is in use here and what was, as far as it has not ended.
    pub(crate) fn living(&self) -> Vec<Arc<Credential>> {
        let mut living = self.history.credentials();
        living.extend(self.held());
        living.retain(|credential| credential.is_usable());
        living
    }

    /// Drops `dead`, which WeChat has rejected, if it is still in use; true if the rejection was not known.
    pub(crate) fn reject(&self, dead: &Arc<Credential>) -> bool {
        let is_new = self.history.reject(dead);
        // Also if it was known: the thread that noted it may not have dropped it yet.
        self.clear_if_still(&dead.value);
        is_new
    }

    /// Removes `dead` from the shared store, if it is still there.
    pub(crate) async fn remove_shared(&self, dead: &Credential) {
        if let Err(error) = self.shared.remove(&dead.value).await {
            tracing::debug!(%error, "the rejected token stays in the shared store; no replica that saw it rejected uses it");
        }
    }

    /// Adopts what is newer in the shared store. Publishes what is in use if nothing is stored there, or something
    /// known to be older: say, Redis came back empty or from a snapshot (C6). A store that is down, or that holds
    /// another program's value, is tried again at the next tick.
    pub(crate) async fn sync_with_store(&self) {
        let Ok(stored) = self.shared.read().await else {
            return;
        };
        if self.adopt(Trigger::Expiring, stored.as_ref()).is_some() {
            return;
        }
        if let Some(held) = self.usable()
            && stored.as_ref().is_none_or(|stored| !self.is_current(stored))
        {
            // If another replica was faster, its credential is found at the next tick.
            let seen = stored.as_ref().map(|stored| &stored.value);
            let _ = self.shared.replace(seen, &held).await;
        }
    }

    /// What is in use here since a renewal was asked for, or was adopted from the shared store just now.
    pub(crate) async fn check_store(&self, trigger: Trigger) -> Result<Option<Arc<Credential>>, NotShared> {
        if let Some(credential) = self.obtained_since(trigger) {
            return Ok(Some(credential));
        }
        let stored = self.shared.read().await?;
        let adopted = self.adopt(trigger, stored.as_ref());
        Ok(adopted.or_else(|| self.obtained_since(trigger)))
    }

    /// What has come into use here since a renewal was asked for because there was nothing usable: another renewal
    /// has ended since, or the refresher has adopted it.
    pub(crate) fn obtained_since(&self, trigger: Trigger) -> Option<Arc<Credential>> {
        let was_missing = matches!(trigger, Trigger::Missing | Trigger::Rejected);
        self.usable().filter(|_| was_missing)
    }

    /// Takes over what is in the shared store, if it is good and newer than what is in use.
    pub(crate) fn adopt(&self, trigger: Trigger, stored: Option<&Stored>) -> Option<Arc<Credential>> {
        let stored = stored.filter(|stored| trigger != Trigger::Operator && self.would_adopt(stored))?;
        let (value, ends) = (stored.value.clone(), stored.expires_at?);
        let credential = Arc::new(self.policy.credential(self.kind, value, ends));
        self.put_into_use(&credential);
        self.history.account_for_rejections();
        if let Some(call) = &self.unanswered {
            call.forget();
        }
        self.reports.adopted(self.kind, &credential, trigger);
        Some(credential)
    }

    /// True if `stored` is good, and was not in use here before (see [`history`]).
    fn is_current(&self, stored: &Stored) -> bool {
        stored.expires_at.is_some_and(|ends| ends > Moment::now()) && self.history.find(&stored.value).is_none()
    }

    /// True if `stored` is to replace what is in use. If it ends sooner, it may be older or have been given a
    /// shorter life: then what is in use stays until it dies.
    fn would_adopt(&self, stored: &Stored) -> bool {
        let outlives = |held: &Credential| held.value != stored.value && stored.expires_at > Some(held.expires_at);
        self.is_current(stored) && self.usable().is_none_or(|held| outlives(&held))
    }

    /// Puts `credential`, which WeChat issued after `asked_at`, into the shared store in place of `seen`, and into
    /// use. If something newer was stored meanwhile (this process was frozen), that is used instead (C8).
    pub(crate) async fn publish(
        &self,
        seen: Option<Stored>,
        credential: Credential,
        asked_at: Moment,
    ) -> Arc<Credential> {
        // What the refresher has adopted during our call comes from a replica that got the lock after us: we were
        // frozen, or the store has lost the lock.
        let adopted_since = |held: &Arc<Credential>| held.held_since > asked_at && held.value != credential.value;
        if let Some(newer) = self.usable().filter(adopted_since) {
            return newer;
        }
        self.history.revive(&credential.value);
        let before = self.held();
        let event = if before.is_some() {
            Event::Renewed
        } else {
            Event::Issued
        };
        let unchanged = before.is_some_and(|held| held.value == credential.value);
        if let Some(newer) = self.overwrite(seen.map(|seen| seen.value), &credential).await {
            let adopted = self.adopt(Trigger::Missing, Some(&newer)).or_else(|| self.usable());
            if let Some(adopted) = adopted {
                return adopted;
            }
        }
        let credential = Arc::new(credential);
        self.put_into_use(&credential);
        if !unchanged {
            self.reports.obtained(event, self.kind, &credential);
        }
        credential
    }

    /// Writes `credential` over `seen`, or over something older that was stored since. Returns what is newer, in
    /// which case nothing was written. If the store fails, the refresher writes it later.
    async fn overwrite(&self, mut seen: Option<Secret>, credential: &Credential) -> Option<Stored> {
        for _ in 0..3 {
            match self.shared.replace(seen.as_ref(), credential).await {
                Ok(true) | Err(_) => return None,
                Ok(false) => {}
            }
            match self.shared.read().await.ok()? {
                // Also if the refresher has adopted it while we were frozen: then it is in use already.
                Some(stored) if stored.value != credential.value && self.is_current(&stored) => {
                    return Some(stored);
                }
                other => seen = other.map(|stored| stored.value),
            }
        }
        None
    }

    /// Uses `credential` from now on, unless it has been rejected meanwhile.
    pub(crate) fn put_into_use(&self, credential: &Arc<Credential>) {
        self.reports.expires_in(self.kind, credential.remaining());
        let before = self.cell.swap(Some(Arc::clone(credential)));
        if let Some(before) = before.filter(|before| before.value != credential.value) {
            self.history.supersede(before);
            // Whatever was rejected, this has replaced it.
            self.history.account_for_rejections();
        }
        if self.history.is_rejected(&credential.value) {
            self.clear_if_still(&credential.value);
        }
    }

    /// Empties the cell, but only of `value`: a newer one stays.
    fn clear_if_still(&self, value: &Secret) {
        let held = self.cell.load();
        if held.as_ref().is_some_and(|held| held.value == *value) {
            self.cell.compare_and_swap(&held, None);
        }
    }
}
