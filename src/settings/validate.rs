//! Checks that involve more than one field, or a section as a whole.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;

use humantime::format_duration;

use super::problem::{UnplacedProblem, UnplacedProblems};
use super::resolved::{Resolved, auth, image_store, tls};
use super::values::{KeyTemplate, Origin, pem_file};
use super::{RedisMode, Settings};
use crate::account::AppId;
use crate::secret::Secret;

/// All conflicts; if there are none, also what the settings resolve to.
pub(super) fn check(settings: &Settings) -> (Option<Resolved>, Vec<UnplacedProblem>) {
    let mut problems = UnplacedProblems::default();
    listeners(settings, &mut problems);
    base_paths(settings, &mut problems);
    cors(settings, &mut problems);
    http_client(settings, &mut problems);
    accounts(settings, &mut problems);
    clients(settings, &mut problems);
    redis(settings, &mut problems);
    redis_keys(settings, &mut problems);
    credentials(settings, &mut problems);
    media(settings, &mut problems);
    rate_limit(settings, &mut problems);
    header_keys(settings, &mut problems);
    let image_store = image_store::resolve(&settings.image_store, &settings.server.base_path, &mut problems);
    let auth = auth::resolve(&settings.auth, &mut problems);
    let internal_tls = tls::resolve(&settings.internal, &mut problems);
    let resolved = image_store.zip(auth).map(|(image_store, auth)| Resolved {
        image_store,
        auth,
        internal_tls,
    });
    (resolved, problems.0)
}

fn listeners(settings: &Settings, problems: &mut UnplacedProblems) {
    let public = settings.server.listen;
    if let Some(internal) = settings.internal.listen {
        let text = format!("{internal} is taken by server.listen ({public}); give it a port of its own");
        problems.add_unless(!collide(public, internal), &["internal.listen", "server.listen"], text);
    }
}

/// Routes that take everything below them would take what is below the base path too. WeChat's paths that take an
/// AppSecret or a client's secret would lose their first segment, and be forwarded to WeChat with the secret.
fn base_paths(settings: &Settings, problems: &mut UnplacedProblems) {
    let (public, internal) = (&settings.server.base_path, &settings.internal.base_path);
    for (key, path, taken) in [
        ("server.base_path", public, ["docs"].as_slice()),
        (
            "internal.base_path",
            internal,
            &["console", "credentials", "cgi-bin", "sns"],
        ),
    ] {
        let first = path.as_str().split('/').nth(1).unwrap_or_default();
        let text = format!("/{first} belongs to the gateway's own routes; expected another path such as \"/wxgate\"");
        let is_taken = taken.iter().any(|own| own.eq_ignore_ascii_case(first));
        problems.add_unless(!is_taken, &[key], text);
    }
}

/// With `*`, cookies would be sent for any page that a user opens.
fn cors(settings: &Settings, problems: &mut UnplacedProblems) {
    let server = &settings.server;
    let any = server.cors_allowed_origins.iter().any(Origin::is_any);
    let text = "can't be true while server.cors_allowed_origins has \"*\", or any page could use a user's cookies; name \
                the origins of your pages";
    let keys = ["server.cors_allow_credentials", "server.cors_allowed_origins"];
    problems.add_unless(!(any && server.cors_allow_credentials), &keys, text);
    let text = "can't be used while server.cors_allowed_origins has \"*\", or any page could upload with a user's cookie; \
                name the origins of your pages";
    let keys = ["auth.jwt_cookie", "server.cors_allowed_origins"];
    problems.add_unless(!any || settings.auth.jwt_cookie.name().is_none(), &keys, text);
}

fn http_client(settings: &Settings, problems: &mut UnplacedProblems) {
    let problem = pem_file::authorities(&settings.http_client.ca_file).err();
    problems.add_unless(problem.is_none(), &["http_client.ca_file"], problem.unwrap_or_default());
}

fn accounts(settings: &Settings, problems: &mut UnplacedProblems) {
    let text = "no account is set: add [[accounts]] with app_id and app_secret, or set WXGATE_APP_ID and \
                WXGATE_APP_SECRET";
    problems.add_unless(!settings.accounts.is_empty(), &["accounts"], text);
    let ids: Vec<_> = settings.accounts.iter().map(|a| a.app_id.as_str()).collect();
    for (i, account) in settings.accounts.iter().enumerate() {
        let key = format!("accounts[{i}].app_id");
        problems.add_unless(!ids[i].is_empty(), &[&key], "missing: every account needs its AppID");
        if let Some(first) = earlier(&ids, i) {
            let text = format!("accounts[{first}] has the same AppID; list each account once");
            problems.add_unless(false, &[&key, &format!("accounts[{first}].app_id")], text);
        }
        let key = format!("accounts[{i}].app_secret");
        let text = "missing: every account needs its AppSecret (app_secret or app_secret_file)";
        problems.add_unless(!account.app_secret.is_blank(), &[&key], text);
    }
}

fn clients(settings: &Settings, problems: &mut UnplacedProblems) {
    let clients = &settings.internal.clients;
    let names: Vec<_> = clients.iter().map(|c| c.name.as_str()).collect();
    for (i, client) in clients.iter().enumerate() {
        let key = format!("internal.clients[{i}].name");
        let text = "expected a name of 1 to 32 letters, digits, `_` or `-`: the journal and the log show it";
        let in_a_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let is_name = (1..=32).contains(&names[i].len()) && names[i].bytes().all(in_a_name);
        problems.add_unless(is_name, &[&key], text);
        if let Some(first) = earlier(&names, i) {
            let text = format!("internal.clients[{first}] has the same name; they could not be told apart");
            problems.add_unless(false, &[&key, &format!("internal.clients[{first}].name")], text);
        }
        let key = format!("internal.clients[{i}].secret");
        let text = "missing: every client needs a secret of its own (secret or secret_file)";
        problems.add_unless(!client.secret.is_blank(), &[&key], text);
        let can_be_sent = !client.secret.expose().contains(char::is_control);
        let text =
            "expected one line without control characters: callers send it in a URL or a header (it is not shown)";
        problems.add_unless(can_be_sent, &[&key], text);
        for (j, id) in client.app_ids.iter().enumerate() {
            let known = settings.accounts.iter().any(|account| account.app_id == *id);
            let key = format!("internal.clients[{i}].app_ids[{j}]");
            problems.add_unless(known, &[&key, "accounts"], format!("{id} is not among [[accounts]]"));
        }
    }
}

fn redis(settings: &Settings, problems: &mut UnplacedProblems) {
    let redis = &settings.redis;
    let reachable = redis.mode == RedisMode::Standalone || !redis.nodes.is_empty();
    let text = "missing: redis.mode \"sentinel\" and \"cluster\" need addresses, \"host:port\"";
    problems.add_unless(reachable, &["redis.nodes", "redis.mode"], text);
    let named = redis.mode != RedisMode::Sentinel || !redis.sentinel_service.trim().is_empty();
    let text = "missing: redis.mode \"sentinel\" needs the master's name";
    problems.add_unless(named, &["redis.sentinel_service", "redis.mode"], text);
    let complete = redis.sentinel_username.is_empty() || !redis.sentinel_password.is_blank();
    let text = "missing: redis.sentinel_username has no effect without a password";
    problems.add_unless(complete, &["redis.sentinel_password", "redis.sentinel_username"], text);
}

fn redis_keys(settings: &Settings, problems: &mut UnplacedProblems) {
    let credentials = &settings.credentials;
    let templates = [
        ("credentials.token_key", &credentials.token_key),
        ("credentials.ticket_key", &credentials.ticket_key),
        ("credentials.lock_key", &credentials.lock_key),
    ];
    for (i, (key, template)) in templates.iter().enumerate() {
        let apart = settings.accounts.len() < 2 || template.names_account();
        let text = "expected {app_id} in it: with several accounts, one would overwrite the other's";
        problems.add_unless(apart, &[key], text);
        for (other_key, other) in &templates[..i] {
            let text = format!("is the same Redis key as {other_key}; each needs its own");
            problems.add_unless(!coincide(template, other, settings), &[key, other_key], text);
        }
    }
}

fn credentials(settings: &Settings, problems: &mut UnplacedProblems) {
    // WeChat allows 2000; a sandbox may allow more.
    let calls = settings.credentials.daily_token_calls;
    at_most(1_000_000, calls, "credentials.daily_token_calls", problems);
    let longest = settings.wechat.call_limit();
    let keys = [
        "credentials.lock_ttl",
        "wechat.timeout",
        "wechat.connect_timeout",
        "wechat.fallback_base_urls",
    ];
    let text = format!(
        "expected more than {}: one call to WeChat may take that long (wechat.timeout, plus \
         wechat.connect_timeout for each base URL), and the lock must outlive it",
        format_duration(longest)
    );
    problems.add_unless(settings.credentials.lock_ttl > longest, &keys, text);
}

fn media(settings: &Settings, problems: &mut UnplacedProblems) {
    let media = &settings.media;
    let text = "expected at least one kind of picture, or nothing can be uploaded";
    problems.add_unless(!media.allowed_types.is_empty(), &["media.allowed_types"], text);
    let text = "expected 1 or more, or nothing can be uploaded";
    problems.add_unless(media.max_concurrent > 0, &["media.max_concurrent"], text);
    at_most(100_000, media.max_concurrent, "media.max_concurrent", problems);
}

fn rate_limit(settings: &Settings, problems: &mut UnplacedProblems) {
    let limits = &settings.rate_limit;
    let routes = [
        ("jssdk", limits.jssdk_per_second, limits.jssdk_burst),
        ("upload", limits.upload_per_second, limits.upload_burst),
    ];
    for (route, per_second, burst) in routes {
        let rate_key = format!("rate_limit.{route}_per_second");
        let text = format!("has no effect alone; set {rate_key} too");
        let key = format!("rate_limit.{route}_burst");
        problems.add_unless(burst == 0 || per_second > 0, &[&key, &rate_key], text);
        at_most(1_000_000, per_second, &rate_key, problems);
        at_most(1_000_000, burst, &key, problems);
    }
}

/// Keys that callers send in a header.
fn header_keys(settings: &Settings, problems: &mut UnplacedProblems) {
    let can_be_sent = |key: &Secret| key.expose().bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    let operator_key = can_be_sent(&settings.internal.operator_key);
    let api_keys = settings.auth.api_keys.iter().all(can_be_sent);
    for (key, fits) in [("internal.operator_key", operator_key), ("auth.api_keys", api_keys)] {
        let text = "expected ASCII, on one line: callers send the key in a header, which carries nothing else (it is not \
                    shown)";
        problems.add_unless(fits, &[key], text);
    }
}

fn at_most<N: PartialOrd + Copy + fmt::Display>(most: N, amount: N, key: &str, problems: &mut UnplacedProblems) {
    problems.add_unless(amount <= most, &[key], format!("expected {most} at most"));
}

/// The index of an earlier entry equal to the one at `index`. Empty ones count as missing, which is reported separately.
fn earlier(entries: &[&str], index: usize) -> Option<usize> {
    let entry = entries[index];
    entries[..index]
        .iter()
        .position(|earlier| *earlier == entry && !entry.is_empty())
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    // Port 0 lets the system choose a free one.
    a.port() == b.port() && a.port() != 0 && overlap
}

fn coincide(a: &KeyTemplate, b: &KeyTemplate, settings: &Settings) -> bool {
    let keys = |template: &KeyTemplate| -> HashSet<String> {
        let none = AppId::default();
        let ids = settings.accounts.iter().map(|account| &account.app_id).chain([&none]);
        ids.map(|id| template.fill(id)).collect()
    };
    !keys(a).is_disjoint(&keys(b))
}
