//! Checks that the keys of the company's identity provider can be fetched.

use super::Finding;
use crate::http::public::KeySet;
use crate::http_client::certificate_cure;
use crate::settings::Settings;
use crate::settings::resolved::{Auth, JwtKeys};

const CHECK: &str = "auth";

const CURE: &str = "look at auth.jwt_jwks_url (open it in a browser: it returns {\"keys\":[…]}), auth.jwt_algorithm, the \
                    firewall and http_client.proxy";

/// `None` unless the settings use published keys.
pub(super) async fn run(settings: &Settings) -> Option<Finding> {
    let Auth::Jwt(JwtKeys::Published(url)) = &settings.resolved.auth else {
        return None;
    };
    let algorithm = settings.auth.jwt_algorithm;
    let keys = match KeySet::new(url, algorithm, &settings.http_client) {
        Ok(keys) => keys,
        Err(error) => return Some(Finding::failed(CHECK, error.to_string())),
    };
    let host = keys.host();
    Some(match keys.count().await {
        Ok(count) => Finding::ok(CHECK, format!("public keys for {algorithm:?} at {host}: {count}")),
        Err(problem) => {
            let finding = Finding::failed(CHECK, format!("the identity provider's keys at {host}: {problem}"));
            finding.cure(certificate_cure(&problem).unwrap_or(CURE))
        }
    })
}
