//! The journal as the console reads it: entries from the shared store, newest first, runs folded.

use std::time::{Duration, SystemTime};

use super::time;

/// What happened; one for each event of [`crate::credentials::Event`], and what a newer replica may
/// have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Issued,
    Renewed,
    Adopted,
    HandedOut,
    Rejected,
    Foreign,
    Failed,
    Unknown,
}

impl What {
    fn of(label: &str) -> Self {
        match label {
            "issued" => Self::Issued,
            "renewed" => Self::Renewed,
            "adopted" => Self::Adopted,
            "handed_out" => Self::HandedOut,
            "rejected" => Self::Rejected,
            "foreign_invalidation" => Self::Foreign,
            "renewal_failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// True where WeChat gave a credential to the replica that wrote the entry.
    pub(super) fn is_from_wechat(self) -> bool {
        matches!(self, Self::Issued | Self::Renewed)
    }
}

/// One entry of an account's journal. All texts come from outside.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) time: SystemTime,
    pub(super) app_id: String,
    pub(super) what: What,
    /// The event's name as it stands in the journal.
    pub(super) label: String,
    pub(super) kind: String,
    pub(super) fingerprint: String,
    pub(super) reason: String,
    pub(super) replica: String,
    /// Who was given the token, where that is what happened.
    pub(super) client: String,
}

impl Entry {
    /// Reads what [`crate::credentials::Journal`] wrote; `None` where it has no time to stand at.
    pub(super) fn read(app_id: &str, fields: &[(String, String)]) -> Option<Self> {
        let field = |name| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let text = |name| field(name).chars().take(LONGEST).collect();
        Some(Self {
            time: humantime::parse_rfc3339(field("time")).ok()?,
            app_id: app_id.to_owned(),
            what: What::of(field("event")),
            label: text("event"),
            kind: text("kind"),
            fingerprint: text("fingerprint"),
            reason: text("reason"),
            replica: text("replica"),
            client: text("client"),
        })
    }

    /// The life that WeChat gave, from `for 7199 s`.
    pub(super) fn life(&self) -> Option<Duration> {
        let seconds = self.reason.strip_prefix("for ")?.strip_suffix(" s")?;
        seconds.parse().ok().map(Duration::from_secs)
    }

    /// What was left of a life that somebody ended, from `rejected 5000 s before its end: …`.
    pub(super) fn life_lost(&self) -> Option<Duration> {
        let (seconds, _) = self.reason.strip_prefix("rejected ")?.split_once(" s before its end")?;
        seconds.parse().ok().map(Duration::from_secs)
    }

    /// WeChat's refusal, from `WeChat refused: 40164 …`.
    pub(super) fn errcode(&self) -> Option<i64> {
        let (_, rest) = self.reason.split_once("WeChat refused: ")?;
        rest.split(' ').next()?.parse().ok()
    }

    /// True where this is more of what `newer` tells, so that one line can tell of both.
    fn continues(&self, newer: &Self) -> bool {
        let same = |field: fn(&Self) -> &str| field(self) == field(newer);
        let of_its_own = self.what.is_from_wechat() || self.what == What::Foreign;
        !of_its_own
            && same(|entry| &entry.app_id)
            && same(|entry| &entry.label)
            && same(|entry| &entry.kind)
            && same(|entry| &entry.reason)
            && same(|entry| &entry.client)
            && time::beijing(self.time).0 == time::beijing(newer.time).0
    }
}

/// The longest text that is shown of a field, in characters.
const LONGEST: usize = 500;

/// One line of the timeline: an entry, or several of a kind in a row.
#[derive(Debug)]
pub(super) struct Line {
    /// The newest of them.
    pub(super) entry: Entry,
    /// How many.
    pub(super) count: usize,
    /// When the oldest of them happened.
    pub(super) since: SystemTime,
}

/// `entries` as lines, newest first, at most `most`.
pub(super) fn fold(mut entries: Vec<Entry>, most: usize) -> Vec<Line> {
    // Stable, so that entries of one millisecond keep the stream's order.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.time));
    let mut lines: Vec<Line> = Vec::new();
    for entry in entries {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if entry.continues(&line.entry) => {
                line.count += 1;
                line.since = entry.time;
            }
            _ if full => break,
            _ => lines.push(Line {
                count: 1,
                since: entry.time,
                entry,
            }),
        }
    }
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::credentials::Event;

    /// An entry of the default test account, so long ago.
    pub(in super::super) fn entry(now: SystemTime, seconds_ago: u64, event: &str, reason: &str) -> Entry {
        let time = humantime::format_rfc3339_millis(now - Duration::from_secs(seconds_ago)).to_string();
        let fields = [
            ("time", time.as_str()),
            ("event", event),
            ("kind", "access_token"),
            ("fingerprint", "ba7816bf"),
            ("reason", reason),
            ("replica", "gw-1"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Entry::read("wx5a4db0c0ffee0001", &fields).unwrap()
    }

    #[test]
    fn every_event_of_the_journal_is_known() {
        let events = [
            Event::Issued,
            Event::Renewed,
            Event::Adopted,
            Event::Rejected,
            Event::ForeignInvalidation,
            Event::RenewalFailed,
            Event::HandedOut,
        ];
        for event in events {
            assert_ne!(What::of(event.label()), What::Unknown, "{event:?}");
        }
    }

    #[test]
    fn reasons_are_understood_where_they_are_ours() {
        let read = |reason| entry(SystemTime::now(), 0, "issued", reason);
        assert_eq!(read("for 7199 s").life(), Some(Duration::from_secs(7199)));
        assert_eq!(read("for a while").life(), None);
        let foreign = read("rejected 5000 s before its end: another system");
        assert_eq!(foreign.life_lost(), Some(Duration::from_secs(5000)));
        assert_eq!(read("WeChat refused: 40164 invalid ip").errcode(), Some(40164));
        assert_eq!(read("WeChat did not answer in time").errcode(), None);
        assert!(Entry::read("wx", &[("time".to_owned(), "yesterday".to_owned())]).is_none());
    }

    #[test]
    fn runs_are_folded_but_never_foreign_invalidations() {
        let now = humantime::parse_rfc3339("2026-01-31T10:00:00Z").unwrap();
        let busy = "WeChat refused: -1 system error";
        let entries = vec![
            entry(now, 50, "renewal_failed", busy),
            entry(now, 40, "renewal_failed", busy),
            entry(now, 30, "renewal_failed", "WeChat did not answer in time"),
            entry(now, 20, "foreign_invalidation", "x"),
            entry(now, 10, "foreign_invalidation", "x"),
        ];
        let lines = fold(entries.clone(), 10);
        let counts: Vec<_> = lines.iter().map(|line| (line.entry.what, line.count)).collect();
        let expected = [
            (What::Foreign, 1),
            (What::Foreign, 1),
            (What::Failed, 1),
            (What::Failed, 2),
        ];
        assert_eq!(counts, expected);
        assert!(lines[3].since < lines[3].entry.time);
        assert_eq!(fold(entries, 2).len(), 2);
        // Ten minutes past midnight in Beijing, and half an hour before that.
        let now = humantime::parse_rfc3339("2026-01-31T16:10:00Z").unwrap();
        let entries = vec![entry(now, 0, "adopted", ""), entry(now, 1800, "adopted", "")];
        assert_eq!(fold(entries, 10).len(), 2, "a line belongs to one day");
    }
}
