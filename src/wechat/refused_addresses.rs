//! The addresses that WeChat has refused calls from (40164), to find out whether the way out is fixed.

use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::cure;

/// How long an address is remembered.
const WINDOW: Duration = Duration::from_hours(1);
/// The most addresses that are remembered.
const MAX: usize = 16;

/// The addresses of the last hour.
#[derive(Default)]
pub struct RefusedAddresses(Mutex<Vec<(IpAddr, Instant)>>);

/// WeChat has refused calls from several addresses within an hour.
#[derive(Debug, thiserror::Error)]
#[error("within an hour WeChat has refused {0}: the way out is not fixed")]
pub struct ChangingWayOut(String);

impl RefusedAddresses {
    /// Notes that `address` was refused; returns the change if others were refused within an hour.
    pub fn note(&self, address: IpAddr) -> Option<ChangingWayOut> {
        let mut refused = self.0.lock();
        let (address, now) = (address.to_canonical(), Instant::now());
        refused.retain(|(_, at)| now.duration_since(*at) < WINDOW);
        match refused.iter_mut().find(|(known, _)| *known == address) {
            Some((_, at)) => *at = now,
            None => refused.push((address, now)),
        }
        if refused.len() > MAX {
            refused.remove(0);
        }
        let names: Vec<String> = refused.iter().map(|(known, _)| known.to_string()).collect();
        (names.len() > 1).then(|| ChangingWayOut(names.join(", ")))
    }
}

impl ChangingWayOut {
    /// What an operator can do about it.
    pub fn cure(&self) -> &'static str {
        cure::CHANGING_WAY_OUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn addresses_of_the_last_hour_are_named() {
        let refused = RefusedAddresses::default();
        let note = |last: u8| refused.note(IpAddr::from([203, 0, 113, last])).map(|change| change.0);
        assert_eq!(note(1), None);
        assert_eq!(note(1), None);
        tokio::time::advance(Duration::from_mins(40)).await;
        assert_eq!(note(2).as_deref(), Some("203.0.113.1, 203.0.113.2"));
        tokio::time::advance(Duration::from_mins(30)).await;
        assert_eq!(note(3).as_deref(), Some("203.0.113.2, 203.0.113.3"));
        tokio::time::advance(WINDOW).await;
        assert_eq!(note(4), None);
        for last in 5..100 {
            note(last);
        }
        assert_eq!(refused.0.lock().len(), MAX);
    }
}
