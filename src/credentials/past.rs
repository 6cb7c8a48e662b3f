//! Credentials that are no longer in use here, so that they don't come back.
//!
//! Which of two credentials is the newer one can't be told from their ends, for WeChat may shorten
//! lives at any time. But a replica knows what it has used before: what stands in the shared store
//! and is in its past is older (a Redis came back from an old snapshot, or failed over to a replica
//! that lagged), and what it has never seen is newer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::credential::Credential;
use crate::secret::Secret;

/// How many are remembered: more than can be alive at WeChat or in any store.
const REMEMBERED: usize = 16;

/// What one slot has held before, newest last.
#[derive(Default)]
pub(super) struct Past(Mutex<VecDeque<Gone>>);

struct Gone {
    credential: Arc<Credential>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another one of ours took its place.
    Superseded,
    /// WeChat rejected it while it was in use, at this time; nobody has looked into it yet.
    Rejected(Instant),
    /// WeChat rejected it, and it is known why.
    Explained,
}

impl Past {
    fn list(&self) -> MutexGuard<'_, VecDeque<Gone>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where `value` was in use here and no longer is.
    pub(super) fn holds(&self, value: &Secret) -> bool {
        self.list().iter().any(|gone| gone.credential.value == *value)
    }

    /// All that was in use here.
    pub(super) fn values(&self) -> Vec<Secret> {
        self.list().iter().map(|gone| gone.credential.value.clone()).collect()
    }

    /// `value` as it was in use here.
    pub(super) fn find(&self, value: &Secret) -> Option<Arc<Credential>> {
        let list = self.list();
        let gone = list.iter().find(|gone| gone.credential.value == *value)?;
        Some(Arc::clone(&gone.credential))
    }

    /// True where WeChat has rejected `value`.
    pub(super) fn rejected(&self, value: &Secret) -> bool {
        self.list()
            .iter()
            .any(|gone| gone.credential.value == *value && gone.end != End::Superseded)
    }

    /// Another one of ours takes the place of `credential`.
    pub(super) fn supersede(&self, credential: Arc<Credential>) {
        if !self.holds(&credential.value) {
            self.push(Gone {
                credential,
                end: End::Superseded,
            });
        }
    }

    /// WeChat rejected `credential`; true where that is news.
    pub(super) fn reject(&self, credential: &Arc<Credential>) -> bool {
        let known = self.holds(&credential.value);
        if !known {
            self.push(Gone {
                credential: Arc::clone(credential),
                end: End::Rejected(Instant::now()),
            });
        }
        !known
    }

    fn push(&self, gone: Gone) {
        let mut list = self.list();
        if list.len() == REMEMBERED {
            list.pop_front();
        }
        list.push_back(gone);
    }

    /// WeChat has just issued `value`, so it is the present, whatever it was before.
    pub(super) fn revive(&self, value: &Secret) {
        self.list()
            .retain(|gone| gone.credential.value != *value || gone.end != End::Superseded);
    }

    /// Ours took the place of what was rejected: nothing foreign about that.
    pub(super) fn explain(&self) {
        for gone in self.list().iter_mut().filter(|gone| gone.end != End::Superseded) {
            gone.end = End::Explained;
        }
    }

    /// What was rejected last, if that was long before its end and nobody has explained it; told once.
    pub(super) fn take_foreign(&self) -> Option<Arc<Credential>> {
        let foreign = self
            .list()
            .iter()
            .rev()
            .find(|gone| gone.died_early())
            .map(|gone| Arc::clone(&gone.credential));
        self.explain();
        foreign
    }
}

impl Gone {
    fn died_early(&self) -> bool {
        let End::Rejected(at) = self.end else { return false };
        let life = self
            .credential
            .expires_at
            .saturating_duration_since(self.credential.held_since);
        let left = self.credential.expires_at.saturating_duration_since(at);
        // Within the last minute, or the last tenth of a short life, clocks that differ explain it.
        left > Duration::from_mins(1).min(life / 10)
    }
}
