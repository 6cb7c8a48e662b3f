//! What this process did in the last hour: its counters, sampled into a ring of fixed size.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often the counters are sampled.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Samples per minute.
const PER_MINUTE: usize = 6;

/// How far back the charts go.
pub(super) const MINUTES: usize = 60;

/// An hour, and the beginning of its first minute.
const CAPACITY: usize = (MINUTES + 1) * PER_MINUTE;

/// The counters that the page shows, since the start of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pages signed.
    pub(super) signed: u64,
    /// Requests for a signature that were refused for the caller's sake (4xx).
    pub(super) not_signed: u64,
    /// Photos that ended with a URL.
    pub(super) uploaded: u64,
    /// Photos that did not.
    pub(super) not_uploaded: u64,
    /// Photos that the image store took.
    pub(super) stored: u64,
    /// Photos that the image store did not take.
    pub(super) not_stored: u64,
    /// Public requests answered with 5xx.
    pub(super) errors: u64,
    /// Calls that WeChat answered, be it with a refusal.
    pub(super) wechat_answered: u64,
    /// Calls that WeChat did not answer as it should.
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
                // A probe that is told "unready" has been answered well, and what is passed through is WeChat's.
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

/// How uploads ended, most frequent first, without what never happened.
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

/// How a thing did of late, judged by the calls made to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recent {
    /// How the newest calls went; `None` if there were none in the last hour.
    pub(super) working: Option<bool>,
    /// Calls of the last hour that went well.
    pub(super) good: u64,
    /// Those that did not.
    pub(super) bad: u64,
}

/// The ring of samples.
#[derive(Default)]
pub(super) struct Traffic(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    samples: VecDeque<Counts>,
    /// How many samples were ever taken: says which of them begin a minute.
    taken: usize,
}

impl Traffic {
    /// Samples until `stop` is cancelled.
    pub(super) async fn record_all(&self, metrics: Metrics, stop: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.record(Counts::read(&metrics.registry.gather()));
        }
    }

    fn record(&self, counts: Counts) {
        let mut ring = self.0.lock();
        if ring.samples.len() == CAPACITY {
            ring.samples.pop_front();
        }
        ring.samples.push_back(counts);
        ring.taken += 1;
    }

    /// The last hour up to `now`.
    pub(super) fn hour(&self, now: Counts) -> Hour {
        let ring = self.0.lock();
        let oldest = ring.taken - ring.samples.len();
        let begins_minute = |(index, _): &(usize, &Counts)| (oldest + index).is_multiple_of(PER_MINUTE);
        let minutes = ring.samples.iter().enumerate().filter(begins_minute);
        let mut minutes: Vec<Counts> = minutes.map(|(_, counts)| *counts).collect();
        minutes.push(now);
        let mut samples: Vec<Counts> = ring.samples.iter().copied().collect();
        samples.push(now);
        Hour { minutes, samples }
    }
}

/// The counters at points of the last hour, oldest first, the last being now.
pub(super) struct Hour {
    minutes: Vec<Counts>,
    samples: Vec<Counts>,
}

impl Hour {
    /// How much `counter` grew in each minute, oldest first; at most [`MINUTES`], the last not over yet.
    pub(super) fn per_minute(&self, counter: fn(&Counts) -> u64) -> Vec<u64> {
        let mut minutes: Vec<u64> = self.minutes.windows(2).map(|pair| grown(pair, counter)).collect();
        minutes.drain(..minutes.len().saturating_sub(MINUTES));
        minutes
    }

    /// How calls went that are counted by `good` and `bad`.
    pub(super) fn recent(&self, good: fn(&Counts) -> u64, bad: fn(&Counts) -> u64) -> Recent {
        let steps = || self.samples.windows(2);
        let newest = steps().rev().map(|pair| (grown(pair, good), grown(pair, bad)));
        Recent {
            working: newest.filter(|calls| *calls != (0, 0)).map(|(good, _)| good > 0).next(),
            good: steps().map(|pair| grown(pair, good)).sum(),
            bad: steps().map(|pair| grown(pair, bad)).sum(),
        }
    }
}

fn grown(pair: &[Counts], counter: fn(&Counts) -> u64) -> u64 {
    counter(&pair[1]).saturating_sub(counter(&pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(signed: u64) -> Counts {
        Counts {
            signed,
            ..Counts::default()
        }
    }

    #[test]
    fn minutes_stay_where_they_are_while_time_goes_on() {
        let traffic = Traffic::default();
        for sample in 0..13 {
            traffic.record(signed(sample));
        }
        // Samples 0, 6 and 12 begin minutes; the last one has lasted for no sample yet.
        let minutes = |now| traffic.hour(signed(now)).per_minute(|counts| counts.signed);
        assert_eq!(minutes(14), [6, 6, 2]);
        traffic.record(signed(20));
        assert_eq!(minutes(20), [6, 6, 8]);
    }

    #[test]
    fn the_ring_keeps_an_hour() {
        let traffic = Traffic::default();
        for sample in 0..10_000 {
            traffic.record(signed(sample));
        }
        let minutes = traffic.hour(signed(10_000)).per_minute(|counts| counts.signed);
        assert_eq!(minutes.len(), MINUTES);
        assert!(minutes[..MINUTES - 1].iter().all(|n| *n == 6), "{minutes:?}");
        assert_eq!(traffic.0.lock().samples.len(), CAPACITY);
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
        let failing = Recent {
            working: Some(false),
            good: 3,
            bad: 1,
        };
        assert_eq!(newest, failing);
        assert_eq!(recent(&traffic.hour(counts(4, 1))).working, Some(true));
    }

    #[test]
    fn counters_are_read_from_the_registry() {
        use axum::http::{Method, StatusCode};

        use crate::http::HttpMetrics;

        let metrics = Metrics::new(false).unwrap();
        let took = Duration::ZERO;
        let http = HttpMetrics::register(&metrics.registry).unwrap();
        let (sign, upload) = (http.route("/wechat/jsSDK"), http.route("/p/active/weChatOa/upload"));
        sign.observe(&Method::GET, StatusCode::OK, took);
        sign.observe(&Method::GET, StatusCode::BAD_REQUEST, took);
        upload.observe(&Method::POST, StatusCode::BAD_GATEWAY, took);
        // WeChat's own failures, passed on.
        http.route("pass-through")
            .observe(&Method::POST, StatusCode::BAD_GATEWAY, took);
        let expected = Counts {
            signed: 1,
            not_signed: 1,
            errors: 1,
            ..Counts::default()
        };
        assert_eq!(Counts::read(&metrics.registry.gather()), expected);
    }
}
