//! Which clients may ask for the shared token, and the last token that each of them got.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{self, CurrentSettings};
use crate::store::keys::TOKEN_ASKED_TTL;

/// The accounts and clients in the settings, whose secrets are accepted.
pub(super) struct TokenClients(pub(super) CurrentSettings);

/// A caller with a valid secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TokenClient {
    /// One of `internal.clients`.
    Named(String),
    /// A holder of the account's AppSecret. There may be several, distinguished by address.
    AppSecret(IpAddr),
}

/// Why a caller is refused a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthError {
    WrongSecret,
    NotForThisAccount,
}

impl TokenClients {
    /// The account's AppSecret.
    pub(super) fn app_secret(&self, app_id: &AppId) -> Option<Secret> {
        self.0.load().app_secret(app_id).cloned()
    }

    /// The clients whose secret this is. All are compared, each in constant time, so that timing reveals nothing.
    pub(super) fn with_secret(&self, secret: &Secret) -> Vec<settings::Client> {
        let settings = self.0.load();
        let clients = settings.internal.clients.iter();
        clients.filter(|client| client.secret == *secret).cloned().collect()
    }

    /// Identifies the caller at `address` by `secret`, for the account `app_id`.
    pub(super) fn identify(&self, app_id: &AppId, secret: &Secret, address: IpAddr) -> Result<TokenClient, AuthError> {
        let is_holder = self.app_secret(app_id).as_ref() == Some(secret);
        let named = self.with_secret(secret);
        match named.iter().find(|client| client.may_use(app_id)) {
            Some(client) => Ok(TokenClient::Named(client.name.clone())),
            None if is_holder => Ok(TokenClient::AppSecret(address)),
            None if named.is_empty() => Err(AuthError::WrongSecret),
            None => Err(AuthError::NotForThisAccount),
        }
    }

    /// The minimum lifetime promised to `client` with a token.
    pub(super) fn min_lifetime(&self, client: &TokenClient) -> Duration {
        let internal = &self.0.load().internal;
        let mut clients = internal.clients.iter();
        let own = clients.find(|known| matches!(client, TokenClient::Named(name) if known.name == *name));
        let own = own.map(|client| client.min_expires_in);
        own.filter(|own| !own.is_zero()).unwrap_or(internal.min_expires_in)
    }

    /// The minimum lifetime promised with a ticket of `app_id`. A token does not say which client sends it, so this is
    /// the maximum over all clients that may.
    pub(super) fn min_ticket_lifetime(&self, app_id: &AppId) -> Duration {
        let internal = &self.0.load().internal;
        let clients = internal.clients.iter().filter(|client| client.may_use(app_id));
        clients
            .map(|client| client.min_expires_in)
            .fold(internal.min_expires_in, Duration::max)
    }
}

impl TokenClient {
    /// The name in the journal and the log. Holders of the AppSecret share one: with an entry for each changing address,
    /// the journal would contain little else.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::AppSecret(_) => "AppSecret",
        }
    }

    /// What tells clients apart: holders of the AppSecret are different systems.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::AppSecret(address) => address.to_string(),
        }
    }
}

/// How many clients are remembered: far more than a company has systems.
const CAPACITY: usize = 4096;

/// The last token that each client got from this replica, for when the shared store is down.
#[derive(Default)]
pub(super) struct HandedOut(Mutex<HashMap<(AppId, TokenClient), Given>>);

struct Given {
    fingerprint: String,
    at: Instant,
}

impl HandedOut {
    /// True if `client` got the token with this fingerprint less than `time` ago.
    pub(super) fn within(&self, time: Duration, app_id: &AppId, client: &TokenClient, fingerprint: &str) -> bool {
        let given = self.0.lock();
        let last = given.get(&(app_id.clone(), client.clone()));
        last.is_some_and(|given| given.fingerprint == fingerprint && given.at.elapsed() < time)
    }

    /// Records that `client` gets the token with this fingerprint; true if its last one was different.
    pub(super) fn note(&self, app_id: &AppId, client: &TokenClient, fingerprint: &str) -> bool {
        let mut given = self.0.lock();
        let key = (app_id.clone(), client.clone());
        if given.len() >= CAPACITY && !given.contains_key(&key) {
            given.retain(|_, given| given.at.elapsed() < TOKEN_ASKED_TTL);
            if given.len() >= CAPACITY {
                // This costs little: a repeated request goes unnoticed.
                given.clear();
            }
        }
        let now = Given {
            fingerprint: fingerprint.to_owned(),
            at: Instant::now(),
        };
        let before = given.insert(key, now);
        before.is_none_or(|before| before.fingerprint != fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn app_id() -> AppId {
        AppId::try_from("wx1".to_owned()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_request_within_a_minute_is_noticed_per_client_and_token() {
        let handed_out = HandedOut::default();
        let (crm, shop) = (
            TokenClient::Named("crm".to_owned()),
            TokenClient::Named("shop".to_owned()),
        );
        let recently = |app_id: &AppId, client: &TokenClient, fingerprint: &str| {
            handed_out.within(TOKEN_ASKED_TTL, app_id, client, fingerprint)
        };
        assert!(!recently(&app_id(), &crm, "a"));
        assert!(handed_out.note(&app_id(), &crm, "a"));
        assert!(recently(&app_id(), &crm, "a"));
        assert!(!recently(&app_id(), &crm, "b"));
        assert!(!recently(&app_id(), &shop, "a"));
        assert!(!handed_out.note(&app_id(), &crm, "a"));
        tokio::time::advance(TOKEN_ASKED_TTL).await;
        assert!(!recently(&app_id(), &crm, "a"));
    }

    #[test]
    fn remembered_clients_are_bounded() {
        let handed_out = HandedOut::default();
        for number in 0..u32::try_from(3 * CAPACITY).unwrap() {
            let client = TokenClient::AppSecret(Ipv4Addr::from_bits(number).into());
            assert!(handed_out.note(&app_id(), &client, "a"));
            assert!(handed_out.0.lock().len() <= CAPACITY);
        }
    }
}
