//! Gets a token or ticket for a check without replacing one that is in use.
//!
//! A plain `stable_token` call returns the same token to all callers and replaces none. A classic call replaces the token in
//! use, so none is ever made here: a classic account is checked with the token in Redis. If Redis has none, `stable_token` is
//! called, whose tokens are independent of classic ones. Without Redis, the token in use is unknown, and nothing is called.

use futures_util::{StreamExt, TryStreamExt, stream};
use prometheus::Registry;

use super::{AT_ONCE, Finding};
use crate::account::AppId;
use crate::credentials::{Kind, foreign_entry};
use crate::secret::Secret;
use crate::settings::{self, Account, Backend, Settings, TokenApi};
use crate::store::{Found, RedisStore, SharedStore, StoreError};
use crate::wechat::{CallError, WeChatClient, WeChatMetrics};

/// Gets tokens and tickets, from Redis or from WeChat.
pub struct CredentialProbe {
    pub(super) redis: Option<RedisStore>,
    pub(super) client: WeChatClient,
    settings: settings::Credentials,
}

/// A token and its origin.
#[derive(Debug)]
pub enum ProbedToken {
    /// Just issued by WeChat: the AppSecret and this host's address are accepted.
    Issued(Secret),
    /// In use by the cluster.
    InUse(Secret),
}

/// Why there is no token or ticket.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    #[error(transparent)]
    Refused(CallError),
    /// WeChat was not asked, since that might replace the token in use.
    #[error("{0}")]
    NotAsked(String),
}

impl ProbedToken {
    pub fn value(&self) -> &Secret {
        match self {
            Self::Issued(value) | Self::InUse(value) => value,
        }
    }
}

impl CredentialProbe {
    /// A probe for the gateway described by `settings`; does not connect yet.
    pub fn open(settings: &Settings) -> Result<Self, Finding> {
        let redis = match settings.credentials.backend {
            Backend::Memory => None,
            Backend::Redis => {
                let store = RedisStore::new(&settings.redis, &settings.http_client.ca_file);
                Some(store.map_err(|error| Finding::failed("redis", error.to_string()))?)
            }
        };
        let broken = |error: &dyn std::fmt::Display| Finding::failed("wechat", error.to_string());
        let metrics = WeChatMetrics::register(&Registry::new()).map_err(|error| broken(&error))?;
        let client =
            WeChatClient::new(&settings.wechat, &settings.http_client, metrics).map_err(|error| broken(&error))?;
        Ok(Self {
            redis,
            client,
            settings: settings.credentials.clone(),
        })
    }

    pub async fn token(&self, account: &Account) -> Result<ProbedToken, Missing> {
        if account.token_api == TokenApi::Classic
            && let Some(token) = self.token_in_use(account).await?
        {
            return Ok(ProbedToken::InUse(token));
        }
        let issued = self
            .client
            .stable_token(&account.app_id, &account.app_secret, false)
            .await;
        Ok(ProbedToken::Issued(issued.map_err(Missing::Refused)?.value))
    }

    /// The ticket that the cluster signs with, or WeChat's current one.
    pub async fn ticket(&self, account: &Account) -> Result<Secret, Missing> {
        if let Ok(Some(ticket)) = self.stored(Kind::JsapiTicket, &account.app_id).await {
            return Ok(ticket);
        }
        let token = self.token(account).await?;
        let issued = self.client.ticket(token.value(), "jsapi").await;
        Ok(issued.map_err(Missing::Refused)?.value)
    }

    /// The token in Redis, if it can be read.
    pub async fn shared_token(&self, app_id: &AppId) -> Option<Secret> {
        self.stored(Kind::AccessToken, app_id).await.ok().flatten()
    }

    /// A classic account's token in use; `None` if Redis certainly has none.
    async fn token_in_use(&self, account: &Account) -> Result<Option<Secret>, Missing> {
        let not_asked = |why: &str| {
            Missing::NotAsked(format!(
                "not tried: token_api is \"classic\", {why}, and a token call would invalidate the token in use"
            ))
        };
        if self.redis.is_none() {
            return Err(not_asked("credentials.backend is \"memory\""));
        }
        let stored = self.stored(Kind::AccessToken, &account.app_id).await;
        stored.map_err(|()| not_asked("Redis can't tell whether one is in use"))
    }

    /// The credential in Redis; an error if Redis can't be read, or has another program's value there.
    async fn stored(&self, kind: Kind, app_id: &AppId) -> Result<Option<Secret>, ()> {
        let Some(redis) = &self.redis else { return Ok(None) };
        let key = kind.key(&self.settings, app_id);
        let found = redis.inspect(&key).await.map_err(drop)?;
        match found {
            _ if foreign_entry(kind, &key, &found).is_some() => Err(()),
            Found::Bytes { value, .. } => {
                let value = Secret::new(String::from_utf8_lossy(&value));
                Ok(Some(value).filter(|value| !value.is_blank()))
            }
            Found::Nothing | Found::OtherType(_) => Ok(None),
        }
    }

    /// Other programs' values at the keys of `accounts`. A Redis that can't be read has its own finding.
    pub(super) async fn foreign_entries(&self, accounts: &[Account]) -> Vec<Finding> {
        let Some(redis) = &self.redis else { return Vec::new() };
        let of_account = |account| [Kind::AccessToken, Kind::JsapiTicket].map(|kind| (account, kind));
        let findings =
            stream::iter(accounts.iter().flat_map(of_account)).map(async |(account, kind): (&Account, Kind)| {
                let key = kind.key(&self.settings, &account.app_id);
                let Some(why) = foreign_entry(kind, &key, &redis.inspect(&key).await?) else {
                    return Ok(None);
                };
                let finding = match account.token_api {
                    TokenApi::Classic => Finding::failed("redis", &why.seen),
                    TokenApi::Stable => Finding::warning("redis", &why.seen),
                };
                Ok(Some(finding.cure(&why.cure).about(&account.app_id)))
            });
        let findings: Result<Vec<Option<Finding>>, StoreError> = findings.buffered(AT_ONCE).try_collect().await;
        findings.unwrap_or_default().into_iter().flatten().collect()
    }
}
