//! Which operations fail at the moment: logged once when they begin to fail, and once when they work again.

use tokio::time::Instant;

use super::operation::Operation;
use crate::store::{Health, StoreError, StoreFault};

/// How many are remembered: enough to know that something fails.
const MAX: usize = 16;

/// The operations that failed when they were last tried.
///
/// A success of another operation says nothing about them: with an ACL that forbids EVAL, SET goes on working. So each
/// stays until it succeeds itself.
pub(super) struct Failures {
    failing: Vec<FailedOperation>,
    /// When the store last went up or down; `None` until it was first asked.
    since: Option<Instant>,
}

/// An operation that failed.
#[derive(Clone)]
pub(super) struct FailedOperation {
    pub(super) operation: Operation,
    pub(super) key: String,
    pub(super) error: StoreError,
}

impl FailedOperation {
    /// True if a success of the same operation with another key shows that it is over. In a cluster another key may
    /// be on another node, and an ACL may allow it.
    fn is_same_for_all_keys(&self) -> bool {
        matches!(
            self.error.fault,
            StoreFault::Refused(_) | StoreFault::ReadOnly | StoreFault::Full
        )
    }
}

/// How an operation ended.
#[derive(Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// All of its commands succeeded.
    Done,
    /// Redis answered, but there was no reason to run all of its commands: a value was not the expected one.
    Answered,
    Failed(&'a StoreError),
}

impl Failures {
    pub(super) fn unknown() -> Self {
        Self {
            failing: Vec::new(),
            since: None,
        }
    }

    pub(super) fn health(&self) -> Health {
        let unknown = || StoreError::new(StoreFault::Unreachable, "not asked yet", "");
        let failing = self.failing.first().map(|failing| failing.error.clone());
        Health {
            error: failing.or_else(|| self.since.is_none().then(unknown)),
            since: self.since.unwrap_or_else(Instant::now),
        }
    }

    pub(super) fn list(&self) -> Vec<FailedOperation> {
        self.failing.clone()
    }

    /// Notes the outcome of `operation` on `key`.
    pub(super) fn record(&mut self, operation: Operation, key: &str, outcome: Outcome<'_>) {
        let before = self.distinct_errors();
        let began = *self.since.get_or_insert_with(Instant::now);
        self.failing.retain(|failing| {
            let is_tried = if failing.is_same_for_all_keys() {
                !matches!(outcome, Outcome::Answered)
            } else {
                failing.key == key
            };
            failing.operation != operation || !is_tried
        });
        if let Outcome::Failed(error) = outcome
            && self.failing.len() < MAX
        {
            self.failing.push(FailedOperation {
                operation,
                key: key.to_owned(),
                error: error.clone(),
            });
        }
        let after = self.distinct_errors();
        if before.is_empty() != after.is_empty() {
            self.since = Some(Instant::now());
        }
        let is_new = |error: &&StoreError| !before.iter().any(|known| known.fault.is_like(&error.fault));
        for error in after.iter().filter(is_new) {
            tracing::warn!("a Redis operation fails: {error}. What to do: {}", error.cure);
        }
        // If the operation fails with something else now, nothing is over yet.
        let is_over = |known: &&StoreError| {
            !matches!(outcome, Outcome::Failed(_)) && !after.iter().any(|error| error.fault.is_like(&known.fault))
        };
        for known in before.iter().filter(is_over) {
            tracing::info!(down_s = began.elapsed().as_secs(), "{}", recovery(&known.fault));
        }
    }

    /// The first error of each kind.
    fn distinct_errors(&self) -> Vec<StoreError> {
        let mut distinct: Vec<StoreError> = Vec::new();
        for FailedOperation { error, .. } in &self.failing {
            if !distinct.iter().any(|known| known.fault.is_like(&error.fault)) {
                distinct.push(error.clone());
            }
        }
        distinct
    }
}

/// What is logged when `fault` is over.
fn recovery(fault: &StoreFault) -> String {
    match fault {
        StoreFault::Refused(command) => format!("Redis accepts {command} again"),
        StoreFault::ReadOnly | StoreFault::Full => "Redis accepts writes again".to_owned(),
        StoreFault::Login => "Redis accepts our login again".to_owned(),
        StoreFault::Unreachable | StoreFault::WrongType | StoreFault::Other => {
            "Redis operations succeed again".to_owned()
        }
    }
}
