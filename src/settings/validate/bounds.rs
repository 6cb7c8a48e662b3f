//! Amounts so far out that they must be typing mistakes.

use std::time::Duration;

use humantime::format_duration;

use super::findings::Findings;
use crate::settings::Settings;

const DAY: Duration = Duration::from_hours(24);
/// With less, no connection and no answer would be waited for.
const SHORTEST: Duration = Duration::from_millis(1);
const PER_SECOND: u32 = 1_000_000;

/// Refuses amounts that are too small or too large to be meant.
pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (key, amount, least, most) in durations(settings) {
        let text = format!("expected {} to {}", format_duration(least), format_duration(most));
        findings.require((least..=most).contains(&amount), &[key], text);
    }
    for (key, amount, most) in counts(settings) {
        findings.require(amount <= u64::from(most), &[key], format!("expected {most} at most"));
    }
    min_expires_in(settings, findings);
    // More than this would not fit into the memory or the time that an upload has.
    let text = "expected 1GiB at most; WeChat's photos have 10 MiB at most";
    findings.require(settings.media.max_bytes <= bytesize::GIB, &["media.max_bytes"], text);
    let buffer = 64 * bytesize::KIB..=64 * bytesize::GIB;
    let text = "expected 64KiB, which is what one call may hold, to 64GiB";
    findings.require(
        buffer.contains(&settings.internal.proxy_buffer),
        &["internal.proxy_buffer"],
        text,
    );
}

/// A token that is replaced for longer than any token lives would be a key of its own.
fn min_expires_in(settings: &Settings, findings: &mut Findings) {
    const LONGEST: Duration = Duration::from_hours(2);
    let internal = &settings.internal;
    let of_clients = internal.clients.iter().enumerate();
    let of_clients =
        of_clients.map(|(i, client)| (format!("internal.clients[{i}].min_expires_in"), client.min_expires_in));
    let of_all = ("internal.min_expires_in".to_owned(), internal.min_expires_in);
    for (key, amount) in of_clients.chain([of_all]) {
        let text = "expected 2h at most, the life of WeChat's tokens: a token that was handed out works through the pass-through \
                    for as long as its client was promised";
        findings.require(amount <= LONGEST, &[&key], text);
    }
}

/// Keys, their amounts, and the least and the most of each.
fn durations(settings: &Settings) -> [(&'static str, Duration, Duration, Duration); 13] {
    let Settings {
        server,
        wechat,
        credentials,
        redis,
        image_store,
        ..
    } = settings;
    [
        ("server.request_timeout", server.request_timeout, SHORTEST, DAY),
        ("server.shutdown_grace", server.shutdown_grace, SHORTEST, DAY),
        ("wechat.connect_timeout", wechat.connect_timeout, SHORTEST, DAY),
        ("wechat.timeout", wechat.timeout, SHORTEST, DAY),
        ("wechat.media_timeout", wechat.media_timeout, SHORTEST, DAY),
        // Tokens live for two hours.
        ("credentials.refresh_ahead", credentials.refresh_ahead, SHORTEST, DAY),
        (
            "credentials.ticket_max_age",
            credentials.ticket_max_age,
            SHORTEST,
            30 * DAY,
        ),
        // Every replica asks Redis this often, for each account.
        (
            "credentials.adopt_interval",
            credentials.adopt_interval,
            10 * SHORTEST,
            DAY,
        ),
        ("credentials.lock_ttl", credentials.lock_ttl, SHORTEST, DAY),
        ("credentials.lock_wait", credentials.lock_wait, SHORTEST, DAY),
        ("redis.connect_timeout", redis.connect_timeout, SHORTEST, DAY),
        ("redis.response_timeout", redis.response_timeout, SHORTEST, DAY),
        ("image_store.http.timeout", image_store.http.timeout, SHORTEST, DAY),
    ]
}

/// Keys, their amounts, and the most of each.
fn counts(settings: &Settings) -> [(&'static str, u64, u32); 6] {
    let limits = &settings.rate_limit;
    let uploads = u64::try_from(settings.media.max_concurrent).unwrap_or(u64::MAX);
    // WeChat allows 2000; a sandbox may allow more.
    let calls = settings.credentials.daily_token_calls.into();
    [
        ("media.max_concurrent", uploads, 100_000),
        ("credentials.daily_token_calls", calls, 1_000_000),
        (
            "rate_limit.jssdk_per_second",
            limits.jssdk_per_second.into(),
            PER_SECOND,
        ),
        ("rate_limit.jssdk_burst", limits.jssdk_burst.into(), PER_SECOND),
        (
            "rate_limit.upload_per_second",
            limits.upload_per_second.into(),
            PER_SECOND,
        ),
        ("rate_limit.upload_burst", limits.upload_burst.into(), PER_SECOND),
    ]
}
