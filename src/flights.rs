//! Work that several callers want at once, done once, by a task that none of them can cut short.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Waits for a flight's result; an error where the flight ended without one.
pub type Ticket<V> = Shared<oneshot::Receiver<V>>;

/// The work under way, by what it is for. A result is not kept: who asks after the end starts anew.
pub struct Flights<K, V> {
    under_way: Mutex<HashMap<K, Ticket<V>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// A ticket for the flight to `key`; `task` is it, started on `tracker`, where none is under way.
    /// True where that was so.
    pub fn join<F>(self: &Arc<Self>, key: &K, tracker: &TaskTracker, task: impl FnOnce() -> F) -> (Ticket<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (ticket, flight) = self.board(key);
        let is_new = flight.is_some();
        if let Some(flight) = flight {
            // Boxed: a task on its way to its first poll is moved about ten times.
            let task = task().boxed();
            tracker.spawn(async move { flight.land(task.await) });
        }
        (ticket, is_new)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// A ticket for the flight to `key`, and that flight itself where it is a new one: whoever gets
    /// it must fly it.
    fn board(self: &Arc<Self>, key: &K) -> (Ticket<V>, Option<Flight<K, V>>) {
        let mut under_way = self.lock();
        if let Some(ticket) = under_way.get(key) {
            return (ticket.clone(), None);
        }
        let (landing, ticket) = oneshot::channel();
        let ticket = ticket.shared();
        under_way.insert(key.clone(), ticket.clone());
        let flight = Flight {
            flights: Arc::clone(self),
            key: key.clone(),
            landing: Some(landing),
        };
        (ticket, Some(flight))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Ticket<V>>> {
        // The map is whole between any two of its calls, so a poisoned lock is still good.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work under way. Dropped without a result (a panic, a cancelled task), it frees its place and
/// leaves nobody waiting.
struct Flight<K: Eq + Hash + Clone, V: Clone> {
    flights: Arc<Flights<K, V>>,
    key: K,
    landing: Option<oneshot::Sender<V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Flight<K, V> {
    /// Gives `result` to everybody who waits. The place is free before anybody hears of it, so who
    /// asks again after a failure does not get the same failure once more.
    fn land(mut self, result: V) {
        self.leave();
        if let Some(landing) = self.landing.take() {
            // Nobody there to hear it: the callers have hung up.
            let _ = landing.send(result);
        }
    }

    fn leave(&self) {
        self.flights.lock().remove(&self.key);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Flight<K, V> {
    fn drop(&mut self) {
        // Once landed, the place may already be the next flight's.
        if self.landing.is_some() {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flies_the_others_wait() {
        let flights = Arc::new(Flights::default());
        let (first, flight) = flights.board(&"a");
        let (second, none) = flights.board(&"a");
        assert!(none.is_none());
        assert!(flights.board(&"b").1.is_some());
        flight.unwrap().land(7);
        assert_eq!((first.await, second.await), (Ok(7), Ok(7)));
        assert!(flights.board(&"a").1.is_some(), "the result must not be kept");
    }

    #[tokio::test]
    async fn a_lost_flight_leaves_nobody_waiting() {
        let flights = Arc::new(Flights::<_, ()>::default());
        let (ticket, flight) = flights.board(&"a");
        drop(flight);
        assert!(ticket.await.is_err());
        assert!(flights.board(&"a").1.is_some());
    }

    #[test]
    fn a_landed_flight_leaves_its_successor_alone() {
        let flights = Arc::new(Flights::default());
        let (ticket, first) = flights.board(&"a");
        let mut first = first.unwrap();
        // What `land` does, with somebody who boards between two of its steps.
        first.leave();
        let (_ticket, second) = flights.board(&"a");
        first.landing.take().unwrap().send(1).unwrap();
        drop((first, ticket));
        assert!(flights.board(&"a").1.is_none(), "the second one is still under way");
        drop(second);
    }
}
