//! What this replica remembers about tokens in other systems' hands: the lives that were promised with ours, and tokens
//! that belong to no account, so that a service that keeps using one does not load the store.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::credential::name_in_store;
use crate::clock::Moment;
use crate::secret::Secret;

/// The lives that were promised with tokens, by the tokens' names in the shared store.
#[derive(Default)]
pub(super) struct PromisedLives(Mutex<HashMap<String, Promise>>);

struct Promise {
    until: Moment,
    /// Whether the shared store has a mark for it.
    is_shared: bool,
}

/// How many promises are remembered: several times the tokens that `credentials.daily_token_calls` allows in the life
/// of one.
const MOST_PROMISES: usize = 2048;

impl PromisedLives {
    /// Notes that a client was promised that this token lives until `until`.
    pub(super) fn extend(&self, name: &str, until: Moment) {
        self.note(name, until, false);
    }

    /// Notes that this token lives until `until` according to its mark in the shared store.
    pub(super) fn learn(&self, name: &str, until: Moment) {
        self.note(name, until, true);
    }

    /// Notes that the shared store now has a mark that lives until `until`.
    pub(super) fn shared(&self, name: &str, until: Moment) {
        if let Some(promise) = self.0.lock().get_mut(name) {
            promise.is_shared |= promise.until <= until;
        }
    }

    /// Until when this token lives, if its mark in the shared store is missing or expires too early.
    pub(super) fn unshared(&self, name: &str) -> Option<Moment> {
        let lives = self.0.lock();
        let promise = lives.get(name).filter(|promise| !promise.is_shared)?;
        Some(promise.until)
    }

    /// True while the life that was promised with this token lasts.
    pub(super) fn is_alive(&self, name: &str) -> bool {
        self.0
            .lock()
            .get(name)
            .is_some_and(|promise| Moment::now() < promise.until)
    }

    /// The tokens whose promised life lasts, and until when.
    pub(super) fn living(&self) -> Vec<(String, Moment)> {
        let (lives, now) = (self.0.lock(), Moment::now());
        let living = lives.iter().filter(|(_, promise)| now < promise.until);
        living.map(|(name, promise)| (name.clone(), promise.until)).collect()
    }

    fn note(&self, name: &str, until: Moment, is_shared: bool) {
        let new = Promise { until, is_shared };
        let mut lives = self.0.lock();
        match lives.get_mut(name) {
            Some(promise) if promise.until < new.until => *promise = new,
            Some(_) => {}
            None => {
                if lives.len() >= MOST_PROMISES {
                    lives.retain(|_, promise| Moment::now() < promise.until);
                }
                if lives.len() < MOST_PROMISES {
                    lives.insert(name.to_owned(), new);
                }
            }
        }
    }
}

/// Tokens that were found to belong to no account, by their names in the shared store, and when each was looked up.
///
/// As a rule none of them is ours, since a replica marks a token in the store before it hands it out. Exceptions are a
/// mark that was not written because the store failed, a mark that was lost with the store's data, and another system's
/// token that WeChat later issues to a replica too. Such a token is recognised up to [`MEMORY`] late.
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

    /// Notes that a look-up that began at `looked_up_at` found `token` at no account, without a failure of the store.
    pub(crate) fn note(&self, token: &Secret, looked_up_at: Moment) {
        let mut unknown = self.0.lock();
        if unknown.len() >= CAPACITY {
            unknown.retain(|_, at| at.elapsed() < MEMORY);
        }
        if unknown.len() < CAPACITY {
            unknown.insert(name_in_store(token), looked_up_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn longest_life_counts_and_ends() {
        let (lives, now) = (PromisedLives::default(), Moment::now());
        assert!(!lives.is_alive("a"));
        lives.extend("a", now + MINUTE);
        lives.extend("a", now + MINUTE / 2);
        assert!(lives.is_alive("a") && !lives.is_alive("b"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(lives.is_alive("a"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!lives.is_alive("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn longer_life_is_to_be_shared_again() {
        let (lives, now) = (PromisedLives::default(), Moment::now());
        lives.extend("a", now + MINUTE);
        assert_eq!(lives.unshared("a"), Some(now + MINUTE));
        lives.shared("a", now + MINUTE);
        assert_eq!(lives.unshared("a"), None);
        lives.extend("a", now + 2 * MINUTE);
        // The answer to the write before comes late.
        lives.shared("a", now + MINUTE);
        assert_eq!(lives.unshared("a"), Some(now + 2 * MINUTE));
        lives.learn("a", now + 3 * MINUTE);
        assert_eq!(lives.unshared("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn lives_are_bounded_and_ended_ones_make_room() {
        let (lives, now) = (PromisedLives::default(), Moment::now());
        for number in 0..2 * MOST_PROMISES {
            lives.extend(&number.to_string(), now + MINUTE);
        }
        assert_eq!(lives.0.lock().len(), MOST_PROMISES);
        tokio::time::advance(MINUTE).await;
        lives.extend("a", now + 2 * MINUTE);
        assert!(lives.is_alive("a") && lives.0.lock().len() == 1);
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
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_tokens_are_bounded_and_old_ones_make_room() {
        let unknown = UnknownTokens::default();
        for number in 0..2 * CAPACITY {
            unknown.note(&Secret::new(number.to_string()), Moment::now());
        }
        assert_eq!(unknown.0.lock().len(), CAPACITY);
        tokio::time::advance(MEMORY).await;
        unknown.note(&Secret::new("a"), Moment::now());
        assert!(unknown.contains(&Secret::new("a")) && unknown.0.lock().len() == 1);
    }
}
