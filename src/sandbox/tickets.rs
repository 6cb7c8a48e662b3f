//! One account's tickets. WeChat's rule is unpublished; this one fits all reports: a ticket is returned for its ttl,
//! always with the whole ttl as `expires_in`, and verifies for twice as long, independently of the access tokens.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::random;
use crate::secret::Secret;

/// The two kinds of ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TicketKind {
    /// For `wx.config`.
    Jsapi,
    /// For cards.
    WxCard,
}

/// Every ticket that still verifies, newest first.
#[derive(Default)]
pub(super) struct Tickets {
    jsapi: VecDeque<Ticket>,
    wx_card: VecDeque<Ticket>,
}

struct Ticket {
    value: Secret,
    born: Instant,
}

impl Tickets {
    /// `GET /cgi-bin/ticket/getticket`.
    pub(super) fn get(&mut self, kind: TicketKind, ttl: Duration, now: Instant) -> Secret {
        let line = match kind {
            TicketKind::Jsapi => &mut self.jsapi,
            TicketKind::WxCard => &mut self.wx_card,
        };
        line.retain(|ticket| now < ticket.born + 2 * ttl);
        if let Some(current) = line.front().filter(|ticket| now < ticket.born + ttl) {
            return current.value.clone();
        }
        let value = Secret::new(random::ticket());
        line.push_front(Ticket {
            value: value.clone(),
            born: now,
        });
        value
    }

    /// The tickets of this kind that still verify, with the time that each has left, newest first.
    pub(super) fn living(
        &self,
        kind: TicketKind,
        ttl: Duration,
        now: Instant,
    ) -> impl Iterator<Item = (&Secret, Duration)> {
        let line = match kind {
            TicketKind::Jsapi => &self.jsapi,
            TicketKind::WxCard => &self.wx_card,
        };
        line.iter()
            .map(move |ticket| (&ticket.value, (ticket.born + 2 * ttl).saturating_duration_since(now)))
            .filter(|(_, left)| !left.is_zero())
    }

    /// Invalidates every ticket, as if all had been replaced long ago.
    pub(super) fn kill(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_hours(2);
    const SECOND: Duration = Duration::from_secs(1);

    fn verifies(tickets: &Tickets, kind: TicketKind, value: &Secret, now: Instant) -> bool {
        tickets.living(kind, TTL, now).any(|(ticket, _)| ticket == value)
    }

    #[test]
    fn ticket_is_returned_for_its_ttl_and_verifies_for_twice_as_long() {
        use TicketKind::Jsapi;
        let (mut tickets, t0) = (Tickets::default(), Instant::now());
        let a = tickets.get(Jsapi, TTL, t0);
        assert_eq!(a.expose().len(), 86);
        assert_eq!(tickets.get(Jsapi, TTL, t0 + TTL - SECOND), a);
        let b = tickets.get(Jsapi, TTL, t0 + TTL);
        assert_ne!(a, b);
        assert!(verifies(&tickets, Jsapi, &a, t0 + 2 * TTL - SECOND));
        assert!(!verifies(&tickets, Jsapi, &a, t0 + 2 * TTL));
        assert!(verifies(&tickets, Jsapi, &b, t0 + 3 * TTL - SECOND));
    }

    #[test]
    fn ticket_kinds_are_different_tickets() {
        let (mut tickets, t0) = (Tickets::default(), Instant::now());
        let jsapi = tickets.get(TicketKind::Jsapi, TTL, t0);
        let card = tickets.get(TicketKind::WxCard, TTL, t0);
        assert_ne!(jsapi, card);
        assert!(!verifies(&tickets, TicketKind::Jsapi, &card, t0));
    }
}
