//! Who may ask for the shared token, and what each was given lately.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{self, Settings};

/// Everybody who may ask.
pub(super) struct Clients {
    accounts: Vec<(AppId, Secret)>,
    clients: Vec<settings::Client>,
}

/// Somebody who has shown a right secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// One that the settings name.
    Named(String),
    /// A holder of the account's AppSecret. There may be many, told apart by their addresses.
    AppSecret(IpAddr),
}

/// Why a caller does not get a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthError {
    /// The secret is nobody's.
    WrongSecret,
    /// It is a client's, who may not ask for this account.
    NotForThisAccount,
}

impl Clients {
    pub(super) fn new(settings: &Settings) -> Self {
        let accounts = settings.accounts.iter();
        Self {
            accounts: accounts
                .map(|account| (account.app_id.clone(), account.app_secret.clone()))
                .collect(),
            clients: settings.internal.clients.clone(),
        }
    }

    /// Tells who at `address` shows `secret` for the account `app_id`. All secrets are compared,
    /// each in constant time, so that the time taken tells nothing.
    pub(super) fn identify(&self, app_id: &AppId, secret: &Secret, address: IpAddr) -> Result<Client, AuthError> {
        let of_account = self
            .accounts
            .iter()
            .filter(|(id, right)| right == secret && id == app_id);
        let is_holder = of_account.count() > 0;
        let named: Vec<_> = self.clients.iter().filter(|client| client.secret == *secret).collect();
        let allowed = |client: &&&settings::Client| client.app_ids.is_empty() || client.app_ids.contains(app_id);
        match named.iter().find(allowed) {
            Some(client) => Ok(Client::Named(client.name.clone())),
            None if is_holder => Ok(Client::AppSecret(address)),
            None if named.is_empty() => Err(AuthError::WrongSecret),
            None => Err(AuthError::NotForThisAccount),
        }
    }
}

impl Client {
    /// The name in the journal and the log. Holders of the AppSecret share one: under addresses that
    /// come and go, the journal would hold little else.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::AppSecret(_) => "AppSecret",
        }
    }
}

/// A client that asks again for the same token within this time suspects that it is dead.
const SUSPICIOUS: Duration = Duration::from_mins(1);

/// How many clients are remembered: far more than a company has systems.
const REMEMBERED: usize = 4096;

/// Which token each client was given last.
#[derive(Default)]
pub(super) struct HandedOut(Mutex<HashMap<(AppId, Client), Given>>);

struct Given {
    fingerprint: String,
    at: Instant,
}

impl HandedOut {
    /// True where `client` was given the token that `fingerprint` names, less than a minute ago.
    pub(super) fn lately(&self, app_id: &AppId, client: &Client, fingerprint: &str) -> bool {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = given.get(&(app_id.clone(), client.clone()));
        last.is_some_and(|given| given.fingerprint == fingerprint && given.at.elapsed() < SUSPICIOUS)
    }

    /// Notes that `client` is given the token that `fingerprint` names; true where that is news.
    pub(super) fn note(&self, app_id: &AppId, client: &Client, fingerprint: &str) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (app_id.clone(), client.clone());
        if given.len() >= REMEMBERED && !given.contains_key(&key) {
            given.retain(|_, given| given.at.elapsed() < SUSPICIOUS);
            if given.len() >= REMEMBERED {
                // Forgetting costs little: a suspicion that goes unnoticed once.
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
    async fn asking_again_within_a_minute_is_noticed_per_client_and_token() {
        let handed_out = HandedOut::default();
        let (crm, shop) = (Client::Named("crm".to_owned()), Client::Named("shop".to_owned()));
        assert!(!handed_out.lately(&app_id(), &crm, "a"));
        assert!(handed_out.note(&app_id(), &crm, "a"));
        assert!(handed_out.lately(&app_id(), &crm, "a"));
        assert!(!handed_out.lately(&app_id(), &crm, "b"));
        assert!(!handed_out.lately(&app_id(), &shop, "a"));
        assert!(!handed_out.note(&app_id(), &crm, "a"));
        tokio::time::advance(SUSPICIOUS).await;
        assert!(!handed_out.lately(&app_id(), &crm, "a"));
    }

    #[test]
    fn the_memory_is_bounded() {
        let handed_out = HandedOut::default();
        for number in 0..u32::try_from(3 * REMEMBERED).unwrap() {
            let client = Client::AppSecret(Ipv4Addr::from_bits(number).into());
            assert!(handed_out.note(&app_id(), &client, "a"));
            assert!(handed_out.0.lock().unwrap().len() <= REMEMBERED);
        }
    }
}
