//! `wxgate check`: a look at everything that the gateway depends on, with what to do about each failure.
//!
//! Looking does no harm: a running cluster's token is never replaced (see [`desk`]), and what is written
//! to Redis or to an image store is removed again. Different dependencies are looked at side by side; each
//! look has its limit, and the findings always stand in the same order.

pub mod desk;
mod domains;
mod images;
mod redis;
mod report;
mod wechat;

pub use report::{Finding, Report, State};

use self::desk::Desk;
use crate::settings::{Backend, Settings};

/// What the operator may ask for besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Post a tiny picture to an upload service too, where it can't be removed again.
    pub upload: bool,
}

/// Looks at everything that `settings` name.
pub async fn run(settings: &Settings, options: Options) -> Report {
    let desk = match Desk::open(settings) {
        Ok(desk) => desk,
        Err(finding) => return Report::new(vec![finding]),
    };
    let (redis, wechat, images) = tokio::join!(
        redis::look(settings, desk.redis()),
        wechat::look(settings, &desk),
        images::look(settings, options),
    );
    let mut findings = own(settings);
    findings.extend(redis);
    findings.extend(wechat);
    findings.push(images);
    Report::new(findings)
}

/// What the settings say by themselves.
fn own(settings: &Settings) -> Vec<Finding> {
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
    let warnings = settings.warnings().into_iter();
    findings.extend(warnings.map(|warning| Finding::warning("settings", warning)));
    for account in &settings.accounts {
        findings.extend(domains::look(account));
    }
    findings
}
