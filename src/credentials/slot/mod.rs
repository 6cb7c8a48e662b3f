//! The slot of one credential: what is in use here, what was in use earlier, and what all replicas share.
//!
//! Expiry does not show which of two credentials is newer, because WeChat may shorten lifetimes at any time. But a
//! replica knows what it has used before: a value in the shared store that is in the history is older (Redis was restored
//! from an old snapshot, or failed over to a replica that lagged), and one that is not is newer if it expires later. If it
//! expires sooner, only WeChat can tell (`probe`).

mod history;
mod shared_entry;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::credentials::credential::{Credential, Kind, Policy, Trigger};
use crate::credentials::held_lock::HeldLock;
use crate::credentials::journal::Event;
use crate::credentials::parameters::Parameters;
use crate::credentials::report::Reports;
use crate::secret::Secret;

use history::{EndOfUse, History};
use shared_entry::SharedEntry;
pub(crate) use shared_entry::{ForeignEntry, NotShared, Stored, UnansweredCall, foreign_entry};

/// Two readings of one expiry differ by less than this.
const SAME_EXPIRY: Duration = Duration::from_secs(5);

/// One account's token or ticket.
pub(crate) struct Slot {
    kind: Kind,
    /// What requests read: one atomic load, no lock.
    cell: ArcSwapOption<Credential>,
    pub(crate) history: History,
    pub(crate) shared: SharedEntry,
    /// The last token in the shared store that was replaced because it is known to be older. A replica that puts it back
    /// considers it newer.
    replaced: Mutex<Option<Secret>>,
    policy: Policy,
    reports: Reports,
    /// When the last credential in use expires, or when it was dropped.
    end: Mutex<Option<Moment>>,
    /// For the token: the call whose answer may have been lost. Once a token obtained after that call is adopted, this
    /// replica need not repeat it.
    unanswered: Option<Arc<UnansweredCall>>,
}

impl Slot {
    pub(crate) fn new(parameters: &Parameters, kind: Kind, unanswered: Option<Arc<UnansweredCall>>) -> Self {
        Self {
            kind,
            cell: ArcSwapOption::empty(),
            history: History::default(),
            shared: SharedEntry::new(parameters, kind),
            replaced: Mutex::default(),
            policy: parameters.policy.clone(),
            reports: parameters.reports.clone(),
            end: Mutex::default(),
            unanswered,
        }
    }

    /// The credential in use here, expired or not.
    pub(crate) fn held(&self) -> Option<Arc<Credential>> {
        self.cell.load_full()
    }

    /// The credential in use here, unless it has expired.
    pub(crate) fn usable(&self) -> Option<Arc<Credential>> {
        self.held().filter(|credential| credential.is_usable())
    }

    /// All credentials that are or were in use here and have not expired.
    pub(crate) fn unexpired(&self) -> Vec<Arc<Credential>> {
        let mut unexpired = self.history.credentials();
        unexpired.extend(self.held());
        unexpired.retain(|credential| credential.is_usable());
        unexpired
    }

    /// Drops `dead`, which WeChat has rejected, if it is still in use; true if the rejection is new.
    pub(crate) fn reject(&self, dead: &Arc<Credential>) -> bool {
        let is_new = self.history.reject(dead);
        // Even if the rejection was known: the thread that noted it may not have dropped the credential yet.
        self.clear_if_still(&dead.value);
        is_new
    }

    /// Adopts a newer credential from the shared store. Publishes the one in use if nothing is stored, or something known
    /// to be older, as when Redis has lost its data or was restored from a snapshot (C6). If the store is down, or holds
    /// another program's value, the next tick tries again. Returns a stored token that may yet be the newer one: one that was
    /// never in use here and is not adopted because it expires sooner, or one that has come back after it was replaced.
    pub(crate) async fn sync_with_store(&self) -> Option<Secret> {
        let stored = self.shared.read().await.ok()?;
        if self.adopt(Trigger::Expiring, stored.as_ref()).is_some() {
            return None;
        }
        // One that is superseded already, because a renewal is about to publish its successor, is not published again.
        let held = self.usable().filter(|held| self.history.find(&held.value).is_none())?;
        if let Some(stored) = stored.as_ref().filter(|stored| self.is_current(stored)) {
            return Some(stored.value.clone()).filter(|stored| *stored != held.value);
        }
        let seen = stored.as_ref().map(|stored| &stored.value);
        let is_token =
            self.kind == Kind::AccessToken && stored.as_ref().is_some_and(|token| token.expires_at.is_some());
        if is_token && self.replaced.lock().as_ref() == seen {
            return seen.cloned();
        }
        // If another replica was faster, its credential is found at the next tick.
        if let Ok(true) = self.shared.replace(seen, &held).await
            && is_token
        {
            *self.replaced.lock() = seen.cloned();
        }
        None
    }

    /// The credential that came into use after a renewal was requested, or after `began`, or that is adopted from the
    /// shared store now; and what is stored, unless the store need not be read.
    pub(crate) async fn check_store(
        &self,
        trigger: Trigger,
        began: Moment,
    ) -> Result<(Option<Arc<Credential>>, Option<Stored>), NotShared> {
        if let Some(credential) = self.obtained_since(trigger, began) {
            return Ok((Some(credential), None));
        }
        let stored = self.shared.read().await?;
        let adopted = self.adopt(trigger, stored.as_ref());
        Ok((adopted.or_else(|| self.obtained_since(trigger, began)), stored))
    }

    /// The credential that makes a renewal unnecessary because it has come into use since, through another renewal, the
    /// refresher or a client's call. An operator's renewal is never unnecessary.
    fn obtained_since(&self, trigger: Trigger, began: Moment) -> Option<Arc<Credential>> {
        let is_newer = |held: &Arc<Credential>| match trigger {
            Trigger::Missing | Trigger::Rejected => true,
            Trigger::Expiring | Trigger::Aged | Trigger::Unanswered => held.held_since > began,
            Trigger::Operator => false,
        };
        self.usable().filter(is_newer)
    }

    /// Adopts the stored credential if it is good and newer than what is in use.
    pub(crate) fn adopt(&self, trigger: Trigger, stored: Option<&Stored>) -> Option<Arc<Credential>> {
        let stored = stored.filter(|_| trigger != Trigger::Operator)?;
        let (value, ends) = (stored.value.clone(), stored.expires_at?);
        let credential = Arc::new(self.policy.credential(self.kind, value, ends));
        let held = loop {
            let held = self.held();
            if !self.would_adopt(stored, held.as_ref()) {
                return None;
            }
            // Fails if a renewal or a rejection in another thread was faster.
            if self.swap_if_still(held.as_ref(), Some(&credential)) {
                break held;
            }
        };
        let is_confirmed = held.as_ref().is_some_and(|held| held.value == credential.value);
        self.note_use(held, &credential);
        if let Some(call) = &self.unanswered {
            call.forget();
        }
        if !is_confirmed {
            self.reports.adopted(self.kind, &credential);
        }
        Some(credential)
    }

    /// True if `stored` is good, and newer than everything used here before (see the module's description).
    fn is_current(&self, stored: &Stored) -> bool {
        stored.expires_at.is_some_and(|ends| ends > Moment::now()) && self.history.find(&stored.value).is_none()
    }

    /// True if `stored` should replace what is in use. If it expires sooner, either it is older or WeChat has shortened
    /// lifetimes: what is in use then stays until it expires or is rejected, by a probe if not before. The stored ticket may
    /// be the one in use with a later expiry, because WeChat has confirmed it to another replica.
    fn would_adopt(&self, stored: &Stored, held: Option<&Arc<Credential>>) -> bool {
        let outlives = |held: &Arc<Credential>| {
            if held.value == stored.value {
                self.kind != Kind::AccessToken && stored.expires_at > Some(held.expires_at + SAME_EXPIRY)
            } else {
                stored.expires_at > Some(held.expires_at)
            }
        };
        self.is_current(stored) && held.filter(|held| held.is_usable()).is_none_or(outlives)
    }

    /// Writes `credential`, which WeChat issued after `asked_at`, to the shared store in place of `seen`, and puts it
    /// into use. If something newer was stored meanwhile (this process was frozen), that is used instead (C8). While
    /// this replica holds the lock, nothing newer comes from another one, which may only have published again what an empty
    /// store lost. A program that writes the key without this lock is not heard then.
    pub(crate) async fn publish(
        &self,
        trigger: Trigger,
        seen: Option<Stored>,
        credential: Credential,
        asked_at: Moment,
        held_lock: Option<&HeldLock>,
    ) -> Arc<Credential> {
        self.retire_what_was_before(&credential, seen.as_ref(), asked_at);
        let is_other =
            |held: &Arc<Credential>| held.value != credential.value && self.history.find(&held.value).is_none();
        if let Some(newer) = self.usable().filter(is_other)
            && !is_still_held(held_lock).await
        {
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
        let overwriting = self.overwrite(seen.map(|seen| seen.value), &credential, held_lock);
        if let Some(newer) = overwriting.await
            && let Some(adopted) = self.adopt(Trigger::Missing, Some(&newer)).or_else(|| self.usable())
        {
            return adopted;
        }
        let credential = Arc::new(credential);
        self.put_into_use(&credential);
        if !unchanged {
            self.reports.obtained(event, self.kind, &credential, trigger);
        }
        credential
    }

    /// Notes that what was stored when we got the lock, and what was in use here before the call, is older than
    /// `credential`. The store may yet return it: another replica publishes it again if the store has lost its data.
    pub(crate) fn retire_what_was_before(&self, credential: &Credential, seen: Option<&Stored>, asked_at: Moment) {
        let stored = seen.and_then(|seen| {
            let credential = self.policy.credential(self.kind, seen.value.clone(), seen.expires_at?);
            Some(Arc::new(credential))
        });
        let held = self.held().filter(|held| held.held_since <= asked_at);
        for older in stored.into_iter().chain(held) {
            if older.value != credential.value {
                self.history.retire(older, EndOfUse::Superseded);
            }
        }
    }

    /// Writes `credential` over `seen`, or over something older that was stored since. If something newer is stored,
    /// returns that and writes nothing. If the store fails, the refresher writes `credential` later.
    async fn overwrite(
        &self,
        mut seen: Option<Secret>,
        credential: &Credential,
        held_lock: Option<&HeldLock>,
    ) -> Option<Stored> {
        for _ in 0..3 {
            match self.shared.replace(seen.as_ref(), credential).await {
                Ok(true) | Err(_) => return None,
                Ok(false) => {}
            }
            let stored = self.shared.read().await.ok()?;
            // It may already be in use, if the refresher has adopted it while we were frozen.
            let is_other = |stored: &Stored| stored.value != credential.value && self.is_current(stored);
            if stored.as_ref().is_some_and(is_other) && !is_still_held(held_lock).await {
                return stored;
            }
            seen = stored.map(|stored| stored.value);
        }
        None
    }

    /// Uses `credential` from now on, unless it has been rejected in the meantime.
    pub(crate) fn put_into_use(&self, credential: &Arc<Credential>) {
        let before = self.cell.swap(Some(Arc::clone(credential)));
        self.note_use(before, credential);
    }

    /// Notes that `credential` replaced `before` in the cell. Empties the cell if `credential` has been rejected in the
    /// meantime.
    fn note_use(&self, before: Option<Arc<Credential>>, credential: &Arc<Credential>) {
        self.report_end();
        if let Some(before) = before.filter(|before| before.value != credential.value) {
            self.history.retire(before, EndOfUse::Superseded);
        }
        if self.history.is_rejected(&credential.value) {
            self.clear_if_still(&credential.value);
        } else {
            // This replaces whatever was rejected, perhaps during the call that obtained it.
            self.history.account_for_rejections();
        }
    }

    /// Updates the metric of the expiry. It is a time of the wall clock, which may have been set since the last report.
    pub(crate) fn report_end(&self) {
        let mut end = self.end.lock();
        if let Some(held) = self.held() {
            *end = Some(held.expires_at);
        }
        if let Some(end) = *end {
            self.reports.expires_at(self.kind, end);
        }
    }

    /// Empties the cell if it holds `value`; a newer one stays.
    fn clear_if_still(&self, value: &Secret) {
        let held = self.held().filter(|held| held.value == *value);
        if held.is_some() && self.swap_if_still(held.as_ref(), None) {
            // It is no longer in use, whatever its expiry: alerts watch this metric.
            *self.end.lock() = Some(Moment::now());
            self.report_end();
        }
    }

    /// Puts `new` into the cell if it still holds `held`; true if it did.
    fn swap_if_still(&self, held: Option<&Arc<Credential>>, new: Option<&Arc<Credential>>) -> bool {
        let held = held.map_or(std::ptr::null(), Arc::as_ptr);
        let before = self.cell.compare_and_swap(held, new.cloned());
        before.as_ref().map_or(std::ptr::null(), Arc::as_ptr) == held
    }
}

/// True if the lock was taken and is still held. Without the shared store there is none.
async fn is_still_held(held_lock: Option<&HeldLock>) -> bool {
    match held_lock {
        Some(held_lock) => held_lock.is_still_held().await,
        None => false,
    }
}
