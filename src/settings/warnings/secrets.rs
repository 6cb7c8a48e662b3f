//! Secrets that can be guessed, look wrong, or can't be sent by callers. None is ever shown.

use jsonwebtoken::Algorithm;

use crate::secret::Secret;
use crate::settings::{AuthMode, Settings};

/// Shorter keys can be guessed.
const SHORTEST_KEY: usize = 16;
/// The length of an AppSecret, which is letters and digits.
const APP_SECRET_LEN: usize = 32;

/// Warnings about the secrets of `settings`.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, account) in settings.accounts.iter().enumerate() {
        warnings.extend(app_secret(i, &account.app_secret));
    }
    for (i, client) in settings.internal.clients.iter().enumerate() {
        warnings.extend(client_secret(i, &client.name, client.secret.expose()));
    }
    warnings.extend(short_operator_key(settings));
    warnings.extend(short_api_keys(settings));
    warnings.extend(short_jwt_secret(settings));
    warnings
}

/// Whether `secret` looks as AppSecrets do.
pub(in crate::settings) fn is_app_secret(secret: &Secret) -> bool {
    let secret = secret.expose();
    secret.len() == APP_SECRET_LEN && secret.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn app_secret(index: usize, secret: &Secret) -> Option<String> {
    if is_app_secret(secret) {
        return None;
    }
    let secret = secret.expose();
    let key = format!("accounts[{index}].app_secret");
    let begins_and_ends = |quotes: &(char, char)| secret.starts_with(quotes.0) || secret.ends_with(quotes.1);
    let quoted = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')]
        .iter()
        .any(begins_and_ends);
    Some(if quoted {
        format!("{key} has quotes around it, which are part of the secret then: remove them")
    } else {
        format!(
            "{key} is not {APP_SECRET_LEN} letters and digits, as AppSecrets are: copy it again from WeChat's console if \
             WeChat refuses it"
        )
    })
}

fn client_secret(index: usize, name: &str, secret: &str) -> Vec<String> {
    let key = format!("internal.clients[{index}].secret ({name})");
    let sent_as_it_is = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    let mut warnings = Vec::new();
    if !secret.bytes().all(sent_as_it_is) {
        warnings.push(format!(
            "{key} has other characters than letters, digits, `.`, `_`, `~` and `-`: many SDKs put a secret into a URL without \
             encoding it, which changes it"
        ));
    }
    warnings.extend(short(&key, secret));
    warnings
}

fn short_operator_key(settings: &Settings) -> Option<String> {
    let key = settings.internal.operator_key.expose();
    short("internal.operator_key", key).filter(|_| !key.is_empty())
}

fn short_api_keys(settings: &Settings) -> Option<String> {
    let mut keys = settings.auth.api_keys.iter().map(Secret::expose);
    let short = keys.find_map(|key| short("a key of auth.api_keys", key));
    short.filter(|_| settings.auth.mode == AuthMode::ApiKey)
}

fn short_jwt_secret(settings: &Settings) -> Option<String> {
    let auth = &settings.auth;
    // RFC 7518, section 3.2, requires as many bytes as the hash has.
    let shortest = match auth.jwt_algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => return None,
    };
    (auth.mode == AuthMode::Jwt && auth.jwt_key.expose().len() < shortest).then(|| {
        format!(
            "auth.jwt_key is shorter than {shortest} bytes, which {:?} requires: anybody who has a token may find it by brute \
             force, and sign tokens",
            auth.jwt_algorithm
        )
    })
}

fn short(key: &str, secret: &str) -> Option<String> {
    let is_short = secret.chars().count() < SHORTEST_KEY;
    is_short.then(|| format!("{key} is shorter than {SHORTEST_KEY} characters and may be guessed"))
}
