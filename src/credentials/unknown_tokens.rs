//! Tokens that were lately found to be no account's, so that a service that goes on with one does not load the store.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::credential::name_in_store;
use crate::clock::Moment;
use crate::secret::Secret;

/// When each of them was looked up, by its name in the shared store.
///
/// None of them is one of ours, as a rule: a replica marks a token in the store before anybody is given it. Exceptions are
/// a mark that was not written because the store failed, or was lost with the store's data, and a token of another system
/// that WeChat gives to a replica, too. Such a token may be recognised [`MEMORY`] later than it could be.
#[derive(Default)]
pub(crate) struct UnknownTokens(Mutex<HashMap<String, Moment>>);

/// How long a token counts as unknown. Each one in use costs a look-up in all accounts per this time.
const MEMORY: Duration = Duration::from_secs(10);

/// How many are remembered: far more than a company has systems.
const CAPACITY: usize = 1024;

impl UnknownTokens {
    /// True if `token` was lately found to be no account's.
    pub(crate) fn contains(&self, token: &Secret) -> bool {
        let looked_up_at = self.0.lock().get(&name_in_store(token)).copied();
        looked_up_at.is_some_and(|at| at.elapsed() < MEMORY)
    }

    /// A look-up that began at `looked_up_at` found `token` to be no account's, and the store failed at no account.
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
    use super::*;

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
