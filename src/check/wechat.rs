//! Checks that WeChat answers, that the clocks agree, and that it accepts each account.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::credential_probe::{CredentialProbe, Missing, ProbedToken};
use super::{AT_ONCE, CheckState, Finding};
use crate::http_client::certificate_cure;
use crate::settings::values::BaseUrl;
use crate::settings::{Account, Settings, TokenApi};
use crate::wechat::{CallError, ErrCode, Meaning};

const CHECK: &str = "account";

/// The tolerated clock difference: WeChat's time is in whole seconds, and its answer takes a while.
const TOLERATED: Duration = Duration::from_secs(5);
/// Above this difference, JSON Web Tokens and signed requests to S3 are refused, or soon will be.
const TOO_FAR: Duration = Duration::from_mins(5);

pub(super) async fn run(settings: &Settings, probe: &CredentialProbe) -> Vec<Finding> {
    let (first, others) = settings.accounts.split_at(settings.accounts.len().min(AT_ONCE));
    let try_all = async |accounts| {
        let findings = stream::iter(accounts).map(|account| account_finding(account, probe));
        findings.buffered(AT_ONCE).collect::<Vec<_>>().await
    };
    let (mut findings, accounts) = tokio::join!(hosts_and_clock(probe), try_all(first));
    let is_out_of_reach = findings
        .iter()
        .any(|finding| finding.state == CheckState::Failed && finding.check == "wechat");
    findings.extend(accounts);
    if is_out_of_reach {
        // Hundreds of accounts would take minutes to fail.
        let not_tried = |account: &Account| Finding::warning(CHECK, "not tried: see wechat").about(&account.app_id);
        findings.extend(others.iter().map(not_tried));
    } else {
        findings.extend(try_all(others).await);
    }
    findings
}

/// One of WeChat's hosts, and its answer.
struct Host<'a> {
    base: &'a BaseUrl,
    /// The response time, and WeChat's clock.
    answer: Result<(Duration, Option<SystemTime>), CallError>,
}

async fn hosts_and_clock(probe: &CredentialProbe) -> Vec<Finding> {
    let asked_at = SystemTime::now();
    let ask = async |base| {
        let asked = Instant::now();
        let date = probe.client.date(base).await;
        let answer = date.map(|date| (asked.elapsed(), date));
        Host { base, answer }
    };
    let hosts = join_all(probe.client.hosts().map(ask)).await;
    // Calls go to the first host to which a connection can be made.
    let in_use = |host: &Host<'_>| !matches!(host.answer, Err(CallError::Unreachable(_)));
    let in_use = hosts.iter().position(in_use);
    let is_needed = |index| in_use.is_none_or(|in_use| in_use == index);
    let hosts_and_indices = hosts.iter().enumerate();
    let mut findings: Vec<_> = hosts_and_indices
        .map(|(index, host)| host.finding(is_needed(index)))
        .collect();
    findings.push(match in_use.map(|index| &hosts[index].answer) {
        Some(Ok((took, date))) => clock(*date, asked_at + *took / 2),
        _ => Finding::warning("clock", "not compared: WeChat did not send its time"),
    });
    findings
}

impl Host<'_> {
    fn finding(&self, is_needed: bool) -> Finding {
        let base = self.base.as_str();
        match &self.answer {
            Ok((took, _)) => Finding::ok("wechat", format!("{base} answers in {} ms", took.as_millis())),
            Err(error) if is_needed => {
                Finding::failed("wechat", format!("{base}: {error}")).cure(cure_unreachable(error))
            }
            Err(error) => Finding::warning("wechat", format!("{base}: {error}")).cure(cure_unreachable(error)),
        }
    }
}

/// What to do if WeChat can't be reached.
fn cure_unreachable(error: &CallError) -> &'static str {
    certificate_cure(&error.to_string()).unwrap_or(match error {
        CallError::Status(_) | CallError::Body(_) => {
            "is wechat.api_base_url WeChat's? A proxy in between, or a login page, may answer in its place"
        }
        _ => {
            "check DNS, the firewall, http_client.proxy and wechat.api_base_url; add another WeChat host to \
             wechat.fallback_base_urls"
        }
    })
}

/// How far our clock, which said `now`, is from WeChat's.
fn clock(date: Option<SystemTime>, now: SystemTime) -> Finding {
    const CHECK: &str = "clock";
    let Some(date) = date else {
        return Finding::warning(CHECK, "not compared: WeChat's answer has no date");
    };
    // The date is truncated to seconds.
    let date = date + Duration::from_millis(500);
    let (apart, side) = match now.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if apart <= TOLERATED {
        return Finding::ok(CHECK, "agrees with WeChat's");
    }
    let seconds = apart.as_secs();
    let message = format!("{seconds} s {side} WeChat's, by the date in its answer");
    let finding = if apart > TOO_FAR {
        Finding::failed(CHECK, message)
    } else {
        Finding::warning(CHECK, message)
    };
    finding.cure("set this host's clock by NTP (timedatectl, chronyc tracking)")
}

async fn account_finding(account: &Account, probe: &CredentialProbe) -> Finding {
    let finding = match probe.token(account).await {
        Ok(ProbedToken::InUse(token)) => match probe.client.probe(&token).await {
            Ok(()) => Finding::ok(
                CHECK,
                "WeChat accepts the classic token in use; AppSecret and IP list were not tried, since that needs a new token",
            ),
            Err(error) => refused(&error, ErrCode::meaning, "the classic token in use"),
        },
        Ok(ProbedToken::Issued(_)) if !account.jsapi => Finding::ok(CHECK, issued(account)),
        Ok(ProbedToken::Issued(token)) => match probe.client.ticket(&token, "jsapi").await {
            Ok(_) => Finding::ok(CHECK, issued(account)),
            Err(error) => refused(&error, ErrCode::meaning, "no jsapi_ticket"),
        },
        Err(Missing::Refused(error)) => refused(&error, ErrCode::meaning_of_token_call, "no access_token"),
        Err(Missing::NotAsked(why)) => Finding::warning(CHECK, why).cure(
            "to try AppSecret and IP list safely, run the check with this account's token_api = \"stable\", whose tokens are \
             separate from classic ones",
        ),
    };
    finding.about(&account.app_id)
}

fn issued(account: &Account) -> String {
    let ticket = if account.jsapi { ", and issues a ticket" } else { "" };
    let how = match account.token_api {
        TokenApi::Stable => "",
        TokenApi::Classic => " (asked by stable_token, which leaves classic tokens alone)",
    };
    format!("WeChat accepts AppID, AppSecret and this host's address{ticket}{how}")
}

fn refused(error: &CallError, meaning: fn(ErrCode) -> Meaning, what: &str) -> Finding {
    let cure = error
        .cure(meaning)
        .unwrap_or_else(|| cure_unreachable(error).to_owned());
    Finding::failed(CHECK, format!("{what}: {error}")).cure(cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_may_differ_by_seconds() {
        let date = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let seconds = Duration::from_secs;
        for (now, state, part) in [
            (date, CheckState::Ok, "agrees"),
            (date + seconds(5), CheckState::Ok, "agrees"),
            (date + seconds(60), CheckState::Warning, "59 s ahead of"),
            (date - seconds(60), CheckState::Warning, "60 s behind"),
            (date - seconds(3600), CheckState::Failed, "3600 s behind"),
        ] {
            let finding = clock(Some(date), now);
            assert!(finding.state == state && finding.message.contains(part), "{finding:?}");
        }
        assert_eq!(clock(None, date).state, CheckState::Warning);
    }
}
