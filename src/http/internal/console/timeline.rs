//! The journal's entries for the timeline: newest first, repetitions folded into one line.

use std::time::SystemTime;

use crate::clock::beijing;
use crate::credentials::{Event, JournalEntry};

/// An entry of an account's journal. All its texts are untrusted.
#[derive(Debug, Clone)]
pub(super) struct TimelineEntry {
    pub(super) app_id: String,
    pub(super) noted: JournalEntry,
}

impl TimelineEntry {
    /// Reads an entry of the stream; `None` if it has no time.
    pub(super) fn read(app_id: &str, fields: &[(String, String)]) -> Option<Self> {
        Some(Self {
            app_id: app_id.to_owned(),
            noted: JournalEntry::read(fields)?,
        })
    }

    /// True if WeChat gave a credential to the replica that wrote the entry.
    pub(super) fn is_from_wechat(&self) -> bool {
        matches!(self.noted.event(), Some(Event::Issued | Event::Renewed))
    }

    /// True if this repeats what `newer` says, so that one line can show both.
    fn continues(&self, newer: &Self) -> bool {
        let is_unique = self.is_from_wechat() || self.noted.event() == Some(Event::ForeignInvalidation);
        let (own, other) = (&self.noted, &newer.noted);
        let day = |entry: &JournalEntry| beijing(entry.time).0;
        !is_unique
            && self.app_id == newer.app_id
            && (&own.event, &own.kind, own.errcode) == (&other.event, &other.kind, other.errcode)
            && (&own.client, own.address, &own.reason) == (&other.client, other.address, &other.reason)
            && day(own) == day(other)
    }
}

/// A line of the timeline: an entry, or several equal ones in a row.
#[derive(Debug)]
pub(super) struct TimelineRow {
    /// The newest of them.
    pub(super) entry: TimelineEntry,
    /// How many.
    pub(super) count: usize,
    /// When the oldest of them happened.
    pub(super) since: SystemTime,
}

/// `entries` as lines, newest first, at most `most`.
pub(super) fn fold(mut entries: Vec<TimelineEntry>, most: usize) -> Vec<TimelineRow> {
    // Stable, so that entries of one millisecond keep the stream's order.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.noted.time));
    let mut lines: Vec<TimelineRow> = Vec::new();
    for entry in entries {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if entry.continues(&line.entry) => {
                line.count += 1;
                line.since = entry.noted.time;
            }
            _ if full => break,
            _ => lines.push(TimelineRow {
                count: 1,
                since: entry.noted.time,
                entry,
            }),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An entry of the default test account, this many seconds old, with these facts in addition to the usual ones.
    fn entry(now: SystemTime, seconds_ago: u64, event: &str, facts: &[(&str, &str)]) -> TimelineEntry {
        let time = humantime::format_rfc3339_millis(now - Duration::from_secs(seconds_ago)).to_string();
        let usual = [
            ("time", time.as_str()),
            ("event", event),
            ("kind", "access_token"),
            ("fingerprint", "ba7816bf"),
            ("replica", "gw-1"),
        ];
        let fields = usual.iter().chain(facts);
        let fields: Vec<_> = fields
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        TimelineEntry::read("wx5a4db0c0ffee0001", &fields).unwrap()
    }

    #[test]
    fn repetitions_are_folded_but_foreign_invalidations_are_not() {
        let now = humantime::parse_rfc3339("2026-01-31T10:00:00Z").unwrap();
        let busy = [("errcode", "-1"), ("reason", "system error")];
        let blocked = [("errcode", "40164"), ("reason", "system error")];
        let silent = [("reason", "WeChat did not answer in time")];
        let entries = vec![
            entry(now, 60, "renewal_failed", &busy),
            entry(now, 50, "renewal_failed", &busy),
            entry(now, 40, "renewal_failed", &blocked),
            entry(now, 30, "renewal_failed", &silent),
            entry(now, 20, "foreign_invalidation", &[]),
            entry(now, 10, "foreign_invalidation", &[]),
        ];
        let lines = fold(entries.clone(), 10);
        let counts: Vec<_> = lines
            .iter()
            .map(|line| (line.entry.noted.event(), line.count))
            .collect();
        let (foreign, failed) = (Some(Event::ForeignInvalidation), Some(Event::RenewalFailed));
        assert_eq!(
            counts,
            [(foreign, 1), (foreign, 1), (failed, 1), (failed, 1), (failed, 2)]
        );
        assert!(lines[4].since < lines[4].entry.noted.time);
        assert_eq!(fold(entries, 2).len(), 2);
    }

    #[test]
    fn lines_do_not_cross_midnight_in_beijing() {
        // Ten minutes past midnight in Beijing, and half an hour before that.
        let now = humantime::parse_rfc3339("2026-01-31T16:10:00Z").unwrap();
        let entries = vec![entry(now, 0, "adopted", &[]), entry(now, 1800, "adopted", &[])];
        assert_eq!(fold(entries, 10).len(), 2);
    }
}
