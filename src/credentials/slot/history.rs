//! What one slot has held before: a value that turns up again is older than what is in use.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::credentials::credential::Credential;
use crate::secret::Secret;

/// How many former credentials are remembered: more than can be valid at WeChat or stored anywhere.
const REMEMBERED: usize = 16;

/// What one slot has held before, newest last.
#[derive(Default)]
pub(crate) struct History(Mutex<VecDeque<Retired>>);

struct Retired {
    credential: Arc<Credential>,
    end: EndOfUse,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EndOfUse {
    /// Another credential of ours replaced it.
    Superseded,
    /// WeChat rejected it at this time, while it was in use; it is not yet known who replaced it.
    Rejected(Moment),
    /// WeChat rejected it, and it is known who replaced it.
    Accounted,
}

impl History {
    pub(crate) fn credentials(&self) -> Vec<Arc<Credential>> {
        let list = self.0.lock();
        list.iter().map(|retired| Arc::clone(&retired.credential)).collect()
    }

    pub(crate) fn find(&self, value: &Secret) -> Option<Arc<Credential>> {
        let list = self.0.lock();
        let retired = list.iter().find(|retired| retired.credential.value == *value)?;
        Some(Arc::clone(&retired.credential))
    }

    pub(crate) fn is_rejected(&self, value: &Secret) -> bool {
        self.0
            .lock()
            .iter()
            .any(|retired| retired.credential.value == *value && retired.end != EndOfUse::Superseded)
    }

    /// Notes that WeChat rejected `credential`; true if that is new.
    pub(crate) fn reject(&self, credential: &Arc<Credential>) -> bool {
        self.retire(Arc::clone(credential), EndOfUse::Rejected(Moment::now()))
    }

    /// Adds `credential` unless it is there; true if it was added.
    pub(super) fn retire(&self, credential: Arc<Credential>, end: EndOfUse) -> bool {
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

    /// Forgets that `value` was superseded: WeChat has issued it again, or has rejected what superseded it.
    pub(crate) fn revive(&self, value: &Secret) {
        self.0
            .lock()
            .retain(|retired| retired.credential.value != *value || retired.end != EndOfUse::Superseded);
    }

    /// Notes that a credential of ours, not another system's, replaced what was rejected.
    pub(crate) fn account_for_rejections(&self) {
        let mut list = self.0.lock();
        for retired in list.iter_mut().filter(|retired| retired.end != EndOfUse::Superseded) {
            retired.end = EndOfUse::Accounted;
        }
    }

    /// The last credential rejected long before its expiry, if that is not accounted for yet. Returned only once.
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
        let EndOfUse::Rejected(at) = self.end else { return false };
        let left = self.credential.expires_at.saturating_duration_since(at);
        // Shortly before its expiry, clock differences are the likely cause.
        left > self.credential.tenth_of_lifetime()
    }
}
