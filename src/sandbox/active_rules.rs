//! The rules in force, in the order in which they were set.

use serde::Serialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::api::Api;
use super::fault::{Fault, Rule};
use crate::account::AppId;

#[derive(Default)]
pub(super) struct ActiveRules {
    entries: Vec<RuleEntry>,
    last_id: u64,
}

struct RuleEntry {
    state: RuleState,
    /// How many calls it has covered, including those that it skipped.
    seen: u64,
    released: CancellationToken,
    /// Releases what [`Fault::Hold`] holds when the entry is dropped.
    _release: DropGuard,
}

/// A rule in force, as the control API shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RuleState {
    id: u64,
    #[serde(flatten)]
    rule: Rule,
    /// How many calls it has applied to.
    hits: u64,
}

/// The faults to apply to one call.
#[derive(Debug, Default)]
pub(super) struct CallFaults {
    pub(super) faults: Vec<Fault>,
    /// Cancelled when the rule is removed.
    pub(super) released: CancellationToken,
}

/// Above this many rules, used-up ones are dropped.
const KEPT: usize = 256;

impl ActiveRules {
    pub(super) fn add(&mut self, rule: Rule) -> u64 {
        if self.entries.len() >= KEPT {
            self.entries.retain(RuleEntry::has_hits_left);
        }
        self.last_id += 1;
        let released = CancellationToken::new();
        let id = self.last_id;
        self.entries.push(RuleEntry {
            state: RuleState { id, rule, hits: 0 },
            seen: 0,
            _release: released.clone().drop_guard(),
            released,
        });
        id
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        let at = self.entries.iter().position(|entry| entry.state.id == id);
        at.map(|at| self.entries.remove(at)).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn states(&self) -> Vec<RuleState> {
        self.entries.iter().map(|entry| entry.state.clone()).collect()
    }

    /// The faults for this call: those of the first rule that covers it, has skipped enough calls, and is not used up.
    pub(super) fn faults_for(&mut self, api: Api, app_id: Option<&AppId>, media_id: &str) -> CallFaults {
        for entry in &mut self.entries {
            if !entry.has_hits_left() || !entry.state.rule.covers(api, app_id, media_id) {
                continue;
            }
            entry.seen += 1;
            if entry.seen > entry.state.rule.skip {
                entry.state.hits += 1;
                return CallFaults {
                    faults: entry.state.rule.faults.clone(),
                    released: entry.released.clone(),
                };
            }
        }
        CallFaults::default()
    }
}

impl RuleEntry {
    fn has_hits_left(&self) -> bool {
        let RuleState { rule, hits, .. } = &self.state;
        rule.times.is_none_or(|times| *hits < times)
    }
}

impl Rule {
    fn covers(&self, api: Api, app_id: Option<&AppId>, media_id: &str) -> bool {
        self.api.is_none_or(|only| only == api)
            && self.app_id.as_ref().is_none_or(|only| Some(only) == app_id)
            && self.media_id.as_ref().is_none_or(|only| only == media_id)
    }
}
