//! Keys that callers send in a header.

use super::Settings;
use super::layer::KeyPath;
use super::validate::Finding;
use crate::secret::Secret;

/// Keys that no caller could ever send.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !can_be_sent(&settings.internal.operator_key) {
        findings.push(finding("internal.operator_key", "the key"));
    }
    if !settings.auth.api_keys.iter().all(can_be_sent) {
        findings.push(finding("auth.api_keys", "each key"));
    }
    findings
}

/// Whether a header can carry `key`, read as text again at the other end.
fn can_be_sent(key: &Secret) -> bool {
    key.expose().bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn finding(key: &str, what: &str) -> Finding {
    let text = format!(
        "expected {what} in ASCII, on one line: callers send it in a header, which carries nothing else (it is not shown)"
    );
    Finding {
        paths: vec![KeyPath::from(key)],
        text,
    }
}
