//! The lives that clients were promised with their tokens, as far as this replica knows.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::Moment;

/// Tokens by their name in the shared store.
#[derive(Default)]
pub(super) struct PromisedLives(Mutex<HashMap<String, Promise>>);

struct Promise {
    until: Moment,
    /// Whether the shared store has a mark for it.
    is_shared: bool,
}

/// How many are remembered: several times what `credentials.daily_token_calls` allows in the life of a token.
const CAPACITY: usize = 2048;

impl PromisedLives {
    /// A client was promised that this token lives until `until`.
    pub(super) fn extend(&self, name: &str, until: Moment) {
        self.note(
            name,
            Promise {
                until,
                is_shared: false,
            },
        );
    }

    /// The shared store says that this token lives until `until`.
    pub(super) fn learn(&self, name: &str, until: Moment) {
        self.note(name, Promise { until, is_shared: true });
    }

    /// The shared store has a mark that lives until `until`.
    pub(super) fn shared(&self, name: &str, until: Moment) {
        if let Some(promise) = self.0.lock().get_mut(name) {
            promise.is_shared |= promise.until <= until;
        }
    }

    /// Until when this token lives, if the mark in the shared store is still missing or too short.
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

    fn note(&self, name: &str, new: Promise) {
        let mut lives = self.0.lock();
        match lives.get_mut(name) {
            Some(promise) if promise.until < new.until => *promise = new,
            Some(_) => {}
            None => {
                if lives.len() >= CAPACITY {
                    lives.retain(|_, promise| Moment::now() < promise.until);
                }
                if lives.len() < CAPACITY {
                    lives.insert(name.to_owned(), new);
                }
            }
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
        for number in 0..2 * CAPACITY {
            lives.extend(&number.to_string(), now + MINUTE);
        }
        assert_eq!(lives.0.lock().len(), CAPACITY);
        tokio::time::advance(MINUTE).await;
        lives.extend("a", now + 2 * MINUTE);
        assert!(lives.is_alive("a") && lives.0.lock().len() == 1);
    }
}
