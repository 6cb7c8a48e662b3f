//! A journal entry: what happened, and the facts about it, each in its own field of the stream.
//!
//! Facts are written and read back here, and nowhere else. `reason` is for people and is not parsed.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::credentials::credential::Kind;
use crate::labelled::labelled;

labelled! {
    /// Something that happened to a credential.
    pub(crate) enum Event {
        /// WeChat issued it, and there was none before.
        Issued = "issued",
        /// WeChat issued it in place of another one.
        Renewed = "renewed",
        /// Another replica, or an older service, had obtained it.
        Adopted = "adopted",
        /// WeChat rejected it.
        Rejected = "rejected",
        /// WeChat rejected it long before it expired, and no replica of ours replaced it.
        ForeignInvalidation = "foreign_invalidation",
        /// WeChat issued none.
        RenewalFailed = "renewal_failed",
        /// A client was given it, for the first time.
        HandedOut = "handed_out",
    }
}

/// An entry of an account's journal. The text of entries read from the store is untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    /// When it happened, according to the clock of the replica that wrote it.
    pub(crate) time: SystemTime,
    /// The event's name, which is unknown here if a newer replica wrote it.
    pub(crate) event: String,
    pub(crate) kind: String,
    pub(crate) fingerprint: String,
    pub(crate) replica: String,
    /// The lifetime that WeChat gave.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) left: Option<Duration>,
    pub(crate) errcode: Option<i64>,
    /// The client that was given the token.
    pub(crate) client: Option<String>,
    /// The address of a holder of the AppSecret who requested the token.
    pub(crate) address: Option<IpAddr>,
    /// Anything else, for people: WeChat's own text, or that an operator requested it.
    pub(crate) reason: String,
}

/// The maximum number of characters read from a field.
const MAX_FIELD: usize = 500;

impl JournalEntry {
    /// An entry about `event`, which happens now.
    pub(crate) fn new(event: Event, kind: Kind) -> Self {
        Self {
            time: SystemTime::now(),
            event: event.label().to_owned(),
            kind: kind.label().to_owned(),
            fingerprint: String::new(),
            replica: String::new(),
            lifetime: None,
            left: None,
            errcode: None,
            client: None,
            address: None,
            reason: String::new(),
        }
    }

    /// The event, if its name is known here.
    pub(crate) fn event(&self) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.label() == self.event)
    }

    /// The stream's fields.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let seconds = |length: Option<Duration>| length.map(|length| length.as_secs().to_string());
        let fields = [
            ("time", Some(humantime::format_rfc3339_millis(self.time).to_string())),
            ("event", Some(self.event.clone())),
            ("kind", Some(self.kind.clone())),
            ("fingerprint", Some(self.fingerprint.clone())),
            ("life_s", seconds(self.lifetime)),
            ("left_s", seconds(self.left)),
            ("errcode", self.errcode.map(|code| code.to_string())),
            ("client", self.client.clone()),
            ("address", self.address.map(|address| address.to_string())),
            ("reason", Some(self.reason.clone())),
            ("replica", Some(self.replica.clone())),
        ];
        let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.collect()
    }

    /// Reads the stream's fields; `None` if there is no time among them. Entries of version 0.1 have their facts in
    /// `reason` alone.
    pub(crate) fn read(fields: &[(String, String)]) -> Option<Self> {
        let field = |name| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value.chars().take(MAX_FIELD).collect::<String>())
        };
        let text = |name| field(name).unwrap_or_default();
        let seconds = |name| field(name)?.parse().ok().map(Duration::from_secs);
        Some(Self {
            time: humantime::parse_rfc3339(&field("time")?).ok()?,
            event: text("event"),
            kind: text("kind"),
            fingerprint: text("fingerprint"),
            replica: text("replica"),
            lifetime: seconds("life_s"),
            left: seconds("left_s"),
            errcode: field("errcode").and_then(|code| code.parse().ok()),
            client: field("client"),
            address: field("address").and_then(|address| address.parse().ok()),
            reason: text("reason"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        for event in Event::ALL {
            let entry = JournalEntry {
                time: humantime::parse_rfc3339("2026-01-31T10:00:00.123Z").unwrap(),
                fingerprint: "ba7816bf".to_owned(),
                replica: "gw-1".to_owned(),
                lifetime: Some(Duration::from_secs(7199)),
                left: Some(Duration::from_secs(5000)),
                errcode: Some(40164),
                client: Some("crm".to_owned()),
                address: Some(IpAddr::from([203, 0, 113, 8])),
                reason: "invalid ip 203.0.113.7".to_owned(),
                ..JournalEntry::new(event, Kind::AccessToken)
            };
            let fields = entry.fields().into_iter().map(|(name, value)| (name.to_owned(), value));
            assert_eq!(JournalEntry::read(&fields.collect::<Vec<_>>()), Some(entry.clone()));
            assert_eq!(entry.event(), Some(event));
        }
    }

    #[test]
    fn odd_entries_are_read_as_far_as_they_go() {
        let read = |fields: &[(&str, &str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            JournalEntry::read(&fields.collect::<Vec<_>>())
        };
        assert!(read(&[("time", "yesterday"), ("event", "issued")]).is_none());
        assert!(read(&[("event", "issued")]).is_none());
        let time = ("time", "2026-01-31T10:00:00Z");
        let entry = read(&[time, ("event", "merged"), ("life_s", "long"), ("errcode", "none")]).unwrap();
        assert_eq!((entry.event(), entry.lifetime, entry.errcode), (None, None, None));
        let long = "x".repeat(MAX_FIELD + 1);
        assert_eq!(read(&[time, ("reason", &long)]).unwrap().reason.len(), MAX_FIELD);
    }
}
