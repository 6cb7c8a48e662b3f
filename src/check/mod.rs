//! `wxgate check`: checks everything that the gateway depends on, and says what to do about each failure.
//!
//! A check does no harm: a running cluster's token is never replaced (see [`credential_probe`]), and what is written to
//! Redis or to an image store is removed again. Dependencies are checked concurrently, each within a time limit; the
//! findings always have the same order.

mod credential_probe;
mod domains;
mod images;
mod login;
mod redis;
mod report;
mod wechat;

pub use credential_probe::CredentialProbe;
pub use report::{CheckState, Finding, Report, name_some};

use crate::http_client;
use crate::settings::{Backend, Problem, Problems, Settings};

/// How many accounts are checked at once.
const AT_ONCE: usize = 16;

/// Checks everything named by `settings`. With `upload`, a tiny picture is also posted to an upload service, although it
/// can't be removed again.
pub async fn run(settings: &Settings, upload: bool) -> Report {
    let probe = match CredentialProbe::open(settings) {
        Ok(probe) => probe,
        Err(finding) => return Report::new(vec![finding]),
    };
    let (redis, foreign, wechat, images, login) = tokio::join!(
        redis::run(settings, probe.redis.as_ref()),
        probe.foreign_entries(&settings.accounts),
        wechat::run(settings, &probe),
        images::run(settings, upload),
        login::run(settings),
    );
    let findings = [about_settings(settings), redis, foreign, wechat, images]
        .into_iter()
        .flatten();
    Report::new(findings.chain(login).collect())
}

/// The report on refused settings: nothing else could be checked.
pub fn refused(problems: &Problems) -> Report {
    let finding = |problem: &Problem| Finding::failed("settings", problem.to_string());
    Report::new(problems.iter().map(finding).collect())
}

fn about_settings(settings: &Settings) -> Vec<Finding> {
    let accounts = match settings.accounts.len() {
        1 => "1 account".to_owned(),
        many => format!("{many} accounts"),
    };
    let backend = match settings.credentials.backend {
        Backend::Memory => "memory",
        Backend::Redis => "Redis",
    };
    let mut findings = vec![Finding::ok(
        "settings",
        format!("well-formed: {accounts}, credentials in {backend}"),
    )];
    let proxy = http_client::proxy_notice(&settings.http_client);
    findings.extend(proxy.map(|notice| Finding::ok("proxy", notice)));
    let tls = settings.resolved.internal_tls.as_ref();
    let validity = tls.and_then(|files| files.validity_warning(&files.read()));
    let warnings = settings.warnings().into_iter().chain(validity);
    findings.extend(warnings.map(|warning| Finding::warning("settings", warning)));
    for account in &settings.accounts {
        findings.extend(domains::run(account));
    }
    findings
}
