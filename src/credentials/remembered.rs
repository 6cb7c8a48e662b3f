//! What this replica remembers about tokens that other systems hold: the lifetimes promised with ours, and tokens that
//! belong to no account, so that a service that keeps using one does not load the store.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::credential::name_in_store;
use crate::clock::Moment;
use crate::secret::Secret;

/// The lifetimes promised with tokens, by the tokens' names in the shared store. Those that have ended are removed, so
/// there are no more than the tokens handed out within the longest of these lifetimes.
#[derive(Default)]
pub(super) struct Promises(Mutex<HashMap<String, Promise>>);

struct Promise {
    until: Moment,
    /// Whether the shared store has a mark for it.
    is_shared: bool,
}

impl Promises {
    /// Notes that a client was promised that this token lasts until `until`.
    pub(super) fn extend(&self, name: &str, until: Moment) {
        self.note(name, until, false);
    }

    /// Notes that the shared store has a mark for this token, which lasts until `until`.
    pub(super) fn learn(&self, name: &str, until: Moment) {
        self.note(name, until, true);
    }

    /// Until when this token was promised, if its mark in the shared store is missing or expires too early.
    pub(super) fn unshared(&self, name: &str) -> Option<Moment> {
        let promises = self.0.lock();
        let promise = promises.get(name).filter(|promise| !promise.is_shared)?;
        Some(promise.until)
    }

    /// True while the lifetime promised with this token lasts.
    pub(super) fn is_alive(&self, name: &str) -> bool {
        let promises = self.0.lock();
        promises.get(name).is_some_and(|promise| Moment::now() < promise.until)
    }

    /// The tokens whose promised lifetime lasts, and until when.
    pub(super) fn unexpired(&self) -> Vec<(String, Moment)> {
        let (promises, now) = (self.0.lock(), Moment::now());
        let unexpired = promises.iter().filter(|(_, promise)| now < promise.until);
        unexpired.map(|(name, promise)| (name.clone(), promise.until)).collect()
    }

    /// Keeps the longest lifetime.
    fn note(&self, name: &str, until: Moment, is_shared: bool) {
        let (mut promises, now) = (self.0.lock(), Moment::now());
        promises.retain(|_, promise| now < promise.until);
        match promises.get_mut(name) {
            Some(promise) if promise.until > until => {}
            Some(promise) if promise.until == until => promise.is_shared |= is_shared,
            _ => {
                promises.insert(name.to_owned(), Promise { until, is_shared });
            }
        }
    }
}

/// Tokens that belong to no account, by their names in the shared store, and when each was looked up.
///
/// Usually none of them is ours, since a replica marks a token in the store before it hands it out. Exceptions are a mark
/// that was not written because the store failed, a mark that was lost with the store's data, and another system's token
/// that WeChat later issues to a replica too. Such a token is recognised up to [`MEMORY`] late.
#[derive(Default)]
pub(crate) struct UnknownTokens(Mutex<HashMap<String, Moment>>);

/// How long a token counts as unknown. Each unknown token in use costs one look-up in all accounts in this time.
const MEMORY: Duration = Duration::from_secs(10);

/// How many tokens are remembered: far more than a company has systems.
const CAPACITY: usize = 1024;

impl UnknownTokens {
    /// True if `token` was recently found to belong to no account.
    pub(crate) fn contains(&self, token: &Secret) -> bool {
        let looked_up_at = self.0.lock().get(&name_in_store(token)).copied();
        looked_up_at.is_some_and(|at| at.elapsed() < MEMORY)
    }

    /// Notes that a look-up begun at `looked_up_at` found no account for `token`, and that the store did not fail.
    pub(crate) fn note(&self, token: &Secret, looked_up_at: Moment) {
        let mut unknown = self.0.lock();
        if unknown.len() >= CAPACITY {
            unknown.clear();
        }
        unknown.insert(name_in_store(token), looked_up_at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn longest_life_counts_and_is_to_be_shared() {
        let (promises, now) = (Promises::default(), Moment::now());
        promises.extend("a", now + MINUTE);
        promises.extend("a", now + MINUTE / 2);
        assert_eq!(promises.unshared("a"), Some(now + MINUTE));
        promises.learn("a", now + MINUTE);
        assert_eq!(promises.unshared("a"), None);
        promises.extend("a", now + 2 * MINUTE);
        // The answer to the earlier write arrives late.
        promises.learn("a", now + MINUTE);
        assert_eq!(promises.unshared("a"), Some(now + 2 * MINUTE));
        promises.learn("a", now + 3 * MINUTE);
        assert_eq!(promises.unshared("a"), None);
        tokio::time::advance(3 * MINUTE).await;
        assert!(!promises.is_alive("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn token_is_unknown_for_a_while_after_its_look_up() {
        let (unknown, token) = (UnknownTokens::default(), Secret::new("a"));
        assert!(!unknown.contains(&token));
        let looked_up_at = Moment::now();
        tokio::time::advance(MEMORY / 2).await;
        unknown.note(&token, looked_up_at);
        assert!(unknown.contains(&token) && !unknown.contains(&Secret::new("b")));
        tokio::time::advance(MEMORY / 2).await;
        assert!(!unknown.contains(&token));
        unknown.note(&token, Moment::now());
        assert!(unknown.contains(&token));
        for number in 0..2 * CAPACITY {
            unknown.note(&Secret::new(number.to_string()), Moment::now());
        }
        assert!(unknown.0.lock().len() <= CAPACITY);
    }
}
