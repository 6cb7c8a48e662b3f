//! Whether an account's `js_domains` make sense.

use std::net::IpAddr;

use super::Finding;
use crate::jssdk::JsDomain;
use crate::settings::Account;

const CHECK: &str = "js_domains";

pub(super) fn run(account: &Account) -> Vec<Finding> {
    if !account.jsapi {
        return Vec::new();
    }
    let domains = &account.js_domains;
    let mut findings: Vec<Finding> = if domains.is_empty() {
        let cure = "list the JS接口安全域名 of the account's console in accounts.js_domains";
        vec![Finding::warning(CHECK, "empty: pages of any site are signed").cure(cure)]
    } else {
        domains.iter().filter_map(warning_for).collect()
    };
    if findings.is_empty() {
        let names: Vec<String> = domains.iter().cloned().map(String::from).collect();
        findings.push(Finding::ok(CHECK, names.join(", ")));
    }
    findings
        .into_iter()
        .map(|finding| finding.about(&account.app_id))
        .collect()
}

/// A warning about a domain that WeChat's console does not accept.
fn warning_for(domain: &JsDomain) -> Option<Finding> {
    let (name, host) = (String::from(domain.clone()), domain.host());
    let (message, cure) = if host.parse::<IpAddr>().is_ok() {
        (
            format!("\"{name}\" is an IP address, which WeChat's console does not accept: wx.config fails there"),
            "use a domain name; only a test account (测试号) accepts addresses",
        )
    } else if !host.contains('.') {
        (
            format!(
                "\"{name}\" has no dot: it covers all hosts that end in .{host}, and WeChat's console does not accept it"
            ),
            "write the whole domain, such as \"example.com\"",
        )
    } else {
        return None;
    };
    Some(Finding::warning(CHECK, message).cure(cure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckState;

    fn messages(domains: &[&str]) -> Vec<(CheckState, String)> {
        let domains = domains
            .iter()
            .map(|domain| JsDomain::try_from((*domain).to_owned()).unwrap());
        let account = Account {
            js_domains: domains.collect(),
            ..Account::default()
        };
        let findings = run(&account).into_iter();
        findings.map(|finding| (finding.state, finding.message)).collect()
    }

    #[test]
    fn only_odd_domains_are_warned_about() {
        let fine = messages(&["example.com/mp", "h5.example.cn"]);
        assert_eq!(fine, [(CheckState::Ok, "example.com/mp, h5.example.cn".to_owned())]);
        for (domains, part) in [
            (&[][..], "pages of any site are signed"),
            (&["127.0.0.1"], "an IP address"),
            (&["localhost"], "no dot"),
        ] {
            let found = messages(domains);
            let is_warning = matches!(&found[..], [(CheckState::Warning, message)] if message.contains(part));
            assert!(is_warning, "{found:?}");
        }
    }
}
