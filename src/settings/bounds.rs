//! Amounts beyond any sense: far enough out that nobody means them, so they are typing mistakes.

use std::time::Duration;

use humantime::format_duration;

use super::Settings;
use super::layer::KeyPath;
use super::validate::Finding;

const DAY: Duration = Duration::from_hours(24);

/// Amounts that are too small or too large to be meant.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = durations(settings)
        .into_iter()
        .filter(|(_, amount, least, most)| amount < least || amount > most)
        .map(|(key, _, least, most)| {
            let (least, most) = (format_duration(least), format_duration(most));
            out_of_bounds(key, &format!("{least} to {most}"))
        })
        .collect();
    let too_many = |(key, amount, most): &(&'static str, u64, u64)| {
        (amount > most).then(|| out_of_bounds(key, &format!("{most} at most")))
    };
    findings.extend(counts(settings).iter().filter_map(too_many));
    // More than this would not fit into the memory or the time that an upload has.
    if settings.media.max_bytes > bytesize::GIB {
        findings.push(out_of_bounds(
            "media.max_bytes",
            "1GiB at most; WeChat's photos have 10 MiB at most",
        ));
    }
    findings
}

/// Keys, their amounts, and the least and the most of each.
fn durations(settings: &Settings) -> [(&'static str, Duration, Duration, Duration); 13] {
    // Below it, no connection and no answer would be waited for.
    let shortest = Duration::from_millis(1);
    let Settings {
        server,
        wechat,
        credentials,
        redis,
        ..
    } = settings;
    [
        ("server.request_timeout", server.request_timeout, shortest, DAY),
        ("server.shutdown_grace", server.shutdown_grace, shortest, DAY),
        ("wechat.connect_timeout", wechat.connect_timeout, shortest, DAY),
        ("wechat.timeout", wechat.timeout, shortest, DAY),
        ("wechat.media_timeout", wechat.media_timeout, shortest, DAY),
        // Tokens live for two hours.
        ("credentials.refresh_ahead", credentials.refresh_ahead, shortest, DAY),
        (
            "credentials.ticket_max_age",
            credentials.ticket_max_age,
            shortest,
            30 * DAY,
        ),
        // Every replica asks Redis this often, for each account.
        (
            "credentials.adopt_interval",
            credentials.adopt_interval,
            10 * shortest,
            DAY,
        ),
        ("credentials.lock_ttl", credentials.lock_ttl, shortest, DAY),
        ("credentials.lock_wait", credentials.lock_wait, shortest, DAY),
        ("redis.connect_timeout", redis.connect_timeout, shortest, DAY),
        ("redis.response_timeout", redis.response_timeout, shortest, DAY),
        (
            "image_store.http.timeout",
            settings.image_store.http.timeout,
            shortest,
            DAY,
        ),
    ]
}

/// Keys, their amounts, and the most of each.
fn counts(settings: &Settings) -> [(&'static str, u64, u64); 6] {
    let limits = &settings.rate_limit;
    let at_once = u64::try_from(settings.media.max_concurrent).unwrap_or(u64::MAX);
    // WeChat allows 2000; a sandbox may allow more.
    let calls = u64::from(settings.credentials.daily_token_calls);
    let per_second = 1_000_000;
    [
        ("media.max_concurrent", at_once, 100_000),
        ("credentials.daily_token_calls", calls, 1_000_000),
        (
            "rate_limit.jssdk_per_second",
            limits.jssdk_per_second.into(),
            per_second,
        ),
        ("rate_limit.jssdk_burst", limits.jssdk_burst.into(), per_second),
        (
            "rate_limit.upload_per_second",
            limits.upload_per_second.into(),
            per_second,
        ),
        ("rate_limit.upload_burst", limits.upload_burst.into(), per_second),
    ]
}

fn out_of_bounds(key: &str, bounds: &str) -> Finding {
    Finding {
        paths: vec![KeyPath::from(key)],
        text: format!("expected {bounds}"),
    }
}
