//! What this process did in the last hour: its counters, sampled each minute.

use std::collections::VecDeque;

use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily};

/// How far back the charts go.
pub(super) const MINUTES: usize = 60;

/// The counters that the page shows, since this process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pages signed.
    pub(super) signed: u64,
    /// Signing requests refused because of the caller (4xx).
    pub(super) not_signed: u64,
    /// Uploads that returned a URL.
    pub(super) uploaded: u64,
    /// Uploads that did not.
    pub(super) not_uploaded: u64,
    /// Photos that the image store accepted.
    pub(super) stored: u64,
    /// Photos that the image store did not accept.
    pub(super) not_stored: u64,
    /// Public requests answered with 5xx.
    pub(super) errors: u64,
    /// Calls that WeChat answered, including refusals.
    pub(super) wechat_answered: u64,
    /// Calls that WeChat did not answer properly.
    pub(super) wechat_failed: u64,
}

/// How uploads ended, by `wxgate_uploads_total`'s outcome.
pub(super) type Outcomes = Vec<(String, u64)>;

impl Counts {
    pub(super) fn read(families: &[MetricFamily]) -> Self {
        let mut counts = Self::default();
        for metric in metrics_of(families, "wxgate_http_requests_total") {
            let (route, status, n) = (label(metric, "route"), label(metric, "status"), value(metric));
            let signing = route == "/wechat/jsSDK";
            match status.as_bytes().first() {
                // Answering "unready" to a probe is correct, and what is passed through is WeChat's answer.
                Some(b'5') if !matches!(route, "/readyz" | "pass-through") => counts.errors += n,
                Some(b'4') if signing => counts.not_signed += n,
                Some(b'2') if signing && label(metric, "method") == "GET" => counts.signed += n,
                _ => {}
            }
        }
        for (outcome, n) in outcomes(families) {
            match outcome.as_str() {
                "stored" | "remembered" | "joined" => counts.uploaded += n,
                _ => counts.not_uploaded += n,
            }
            match outcome.as_str() {
                "stored" => counts.stored += n,
                "store_error" => counts.not_stored += n,
                _ => {}
            }
        }
        for metric in metrics_of(families, "wxgate_wechat_requests_total") {
            match label(metric, "outcome") {
                "ok" | "refused" => counts.wechat_answered += value(metric),
                _ => counts.wechat_failed += value(metric),
            }
        }
        counts
    }
}

/// How uploads ended, most frequent first, without outcomes that never occurred.
pub(super) fn outcomes(families: &[MetricFamily]) -> Outcomes {
    let mut outcomes: Outcomes = metrics_of(families, "wxgate_uploads_total")
        .map(|metric| (label(metric, "outcome").to_owned(), value(metric)))
        .filter(|(_, n)| *n > 0)
        .collect();
    outcomes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    outcomes
}

fn metrics_of<'a>(families: &'a [MetricFamily], name: &str) -> impl Iterator<Item = &'a Metric> {
    let family = families.iter().find(|family| family.name() == name);
    family.into_iter().flat_map(MetricFamily::get_metric)
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
    pair.map_or("", |pair| pair.value())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts whole things"
)]
fn value(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

/// The recent state of a dependency, judged by the calls made to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recent {
    /// How the newest calls went; `None` if there were none in the last hour.
    pub(super) working: Option<bool>,
    /// Calls of the last hour that succeeded.
    pub(super) good: u64,
    /// Those that failed.
    pub(super) bad: u64,
}

/// The counters as they were at the beginning of each of the last [`MINUTES`], oldest first.
#[derive(Default)]
pub(super) struct Traffic(Mutex<VecDeque<Counts>>);

impl Traffic {
    pub(super) fn record(&self, counts: Counts) {
        let mut minutes = self.0.lock();
        if minutes.len() == MINUTES {
            minutes.pop_front();
        }
        minutes.push_back(counts);
    }

    /// The last hour up to `now`.
    pub(super) fn hour(&self, now: Counts) -> Hour {
        Hour(self.0.lock().iter().copied().chain([now]).collect())
    }
}

/// The counters at points in the last hour, oldest first; the last point is now.
pub(super) struct Hour(Vec<Counts>);

impl Hour {
    /// How much `counter` grew in each minute, oldest first; the last minute is incomplete.
    pub(super) fn per_minute(&self, counter: fn(&Counts) -> u64) -> Vec<u64> {
        let grown = |pair: &[Counts]| counter(&pair[1]).saturating_sub(counter(&pair[0]));
        self.0.windows(2).map(grown).collect()
    }

    /// The state of a dependency whose calls are counted by `good` and `bad`.
    pub(super) fn recent(&self, good: fn(&Counts) -> u64, bad: fn(&Counts) -> u64) -> Recent {
        let (good, bad) = (self.per_minute(good), self.per_minute(bad));
        let newest = good.iter().zip(&bad).rev().find(|(good, bad)| **good + **bad > 0);
        Recent {
            working: newest.map(|(good, _)| *good > 0),
            good: good.iter().sum(),
            bad: bad.iter().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_the_last_hour_are_kept() {
        let traffic = Traffic::default();
        let signed = |signed| Counts {
            signed,
            ..Counts::default()
        };
        for minute in 0..100 {
            traffic.record(signed(minute * 6));
        }
        let minutes = traffic.hour(signed(596)).per_minute(|counts| counts.signed);
        assert_eq!((minutes.len(), minutes[MINUTES - 1]), (MINUTES, 2));
        assert!(minutes[..MINUTES - 1].iter().all(|n| *n == 6), "{minutes:?}");
    }

    #[test]
    fn the_newest_calls_say_whether_a_thing_works() {
        let recent = |hour: &Hour| hour.recent(|counts| counts.stored, |counts| counts.not_stored);
        let counts = |stored, not_stored| Counts {
            stored,
            not_stored,
            ..Counts::default()
        };
        let traffic = Traffic::default();
        traffic.record(counts(0, 0));
        assert_eq!(recent(&traffic.hour(counts(0, 0))).working, None);
        traffic.record(counts(3, 0));
        traffic.record(counts(3, 1));
        let newest = recent(&traffic.hour(counts(3, 1)));
        assert_eq!((newest.working, newest.good, newest.bad), (Some(false), 3, 1));
        assert_eq!(recent(&traffic.hour(counts(4, 1))).working, Some(true));
    }
}
