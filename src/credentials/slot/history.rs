//! Credentials that are no longer in use here, so that they are not used again.
//!
//! Which of two credentials is newer can't be seen from their ends, because WeChat may shorten lives at any time.
//! But a replica knows what it has used before: a value in the shared store that is in the history is older (Redis
//! came back from an old snapshot, or failed over to a replica that lagged), and one that is not is newer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::credentials::credential::Credential;
use crate::secret::Secret;

/// How many are remembered: more than can be alive at WeChat or in any store.
const REMEMBERED: usize = 16;

/// What one slot has held before, newest last.
#[derive(Default)]
pub(crate) struct History(Mutex<VecDeque<Retired>>);

struct Retired {
    credential: Arc<Credential>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another one of ours replaced it.
    Superseded,
    /// WeChat rejected it while it was in use, at this time; the reason is not known yet.
    Rejected(Moment),
    /// WeChat rejected it, and the reason is known.
    Accounted,
}

impl History {
    /// All that were in use here.
    pub(crate) fn credentials(&self) -> Vec<Arc<Credential>> {
        let list = self.0.lock();
        list.iter().map(|retired| Arc::clone(&retired.credential)).collect()
    }

    /// The retired credential with this value.
    pub(crate) fn find(&self, value: &Secret) -> Option<Arc<Credential>> {
        let list = self.0.lock();
        let retired = list.iter().find(|retired| retired.credential.value == *value)?;
        Some(Arc::clone(&retired.credential))
    }

    /// True if WeChat has rejected `value`.
    pub(crate) fn is_rejected(&self, value: &Secret) -> bool {
        self.0
            .lock()
            .iter()
            .any(|retired| retired.credential.value == *value && retired.end != End::Superseded)
    }

    /// Another one of ours replaces `credential`.
    pub(crate) fn supersede(&self, credential: Arc<Credential>) {
        self.retire(credential, End::Superseded);
    }

    /// WeChat rejected `credential`; true if that was not known.
    pub(crate) fn reject(&self, credential: &Arc<Credential>) -> bool {
        self.retire(Arc::clone(credential), End::Rejected(Moment::now()))
    }

    /// Adds `credential` unless it is there; true if it was added.
    fn retire(&self, credential: Arc<Credential>, end: End) -> bool {
        let mut list = self.0.lock();
        if list.iter().any(|retired| retired.credential.value == credential.value) {
            return false;
        }
        if list.len() == REMEMBERED {
            list.pop_front();
        }
        list.push_back(Retired { credential, end });
        true
    }

    /// WeChat has just issued `value`, so it is current, whatever it was before.
    pub(crate) fn revive(&self, value: &Secret) {
        self.0
            .lock()
            .retain(|retired| retired.credential.value != *value || retired.end != End::Superseded);
    }

    /// One of ours replaced what was rejected: no other system did.
    pub(crate) fn account_for_rejections(&self) {
        let mut list = self.0.lock();
        for retired in list.iter_mut().filter(|retired| retired.end != End::Superseded) {
            retired.end = End::Accounted;
        }
    }

    /// What was rejected last, if that was long before its end and is not accounted for. Returned once.
    pub(crate) fn take_unaccounted(&self) -> Option<Arc<Credential>> {
        let unaccounted = self
            .0
            .lock()
            .iter()
            .rev()
            .find(|retired| retired.died_early())
            .map(|retired| Arc::clone(&retired.credential));
        self.account_for_rejections();
        unaccounted
    }
}

impl Retired {
    fn died_early(&self) -> bool {
        let End::Rejected(at) = self.end else { return false };
        let left = self.credential.expires_at.saturating_duration_since(at);
        // In the last minute, or the last tenth of a short life, clocks that differ are the reason.
        left > Duration::from_mins(1).min(self.credential.life() / 10)
    }
}
