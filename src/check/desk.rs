//! Tokens and tickets to look at or to look with, got without harm to anybody's.
//!
//! A plain `stable_token` call gives everybody the same token and replaces none. A classic call kills the
//! token in use, so none is ever made here: a classic account is looked at with the token that stands in
//! Redis. Where Redis holds none, `stable_token` helps again, for its tokens are apart from classic ones
//! and neither kills the other. Without Redis nobody can tell what token is in use: then it is left alone.

use prometheus::Registry;

use super::Finding;
use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{self, Account, Backend, Settings, TokenApi};
use crate::store::{RedisStore, SharedStore};
use crate::wechat::{CallError, WeChatClient, WeChatMetrics};

/// What is needed to get them.
pub struct Desk {
    redis: Option<RedisStore>,
    client: WeChatClient,
    keys: settings::Credentials,
}

/// A token, and where it is from.
#[derive(Debug)]
pub enum Token {
    /// Issued by WeChat just now: the AppSecret and this host's address are good.
    Issued(Secret),
    /// In use by the cluster.
    InUse(Secret),
}

/// Why there is no token or ticket to be had.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// WeChat gave no token.
    #[error(transparent)]
    NoToken(CallError),
    /// WeChat gave no ticket.
    #[error(transparent)]
    NoTicket(CallError),
    /// It is not asked, lest a token in use be killed.
    #[error("{0}")]
    LeftAlone(String),
}

impl Token {
    /// The token itself.
    #[must_use]
    pub fn value(&self) -> &Secret {
        match self {
            Self::Issued(value) | Self::InUse(value) => value,
        }
    }
}

impl Desk {
    /// A desk for the gateway that `settings` describe; nothing is asked yet.
    pub fn open(settings: &Settings) -> Result<Self, Finding> {
        let redis = match settings.credentials.backend {
            Backend::Memory => None,
            Backend::Redis => {
                let store = RedisStore::new(&settings.resolved.redis, &settings.http_client.ca_file);
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
            keys: settings.credentials.clone(),
        })
    }

    pub(super) fn redis(&self) -> Option<&RedisStore> {
        self.redis.as_ref()
    }

    pub(super) fn client(&self) -> &WeChatClient {
        &self.client
    }

    /// A token of `account`'s.
    pub async fn token(&self, account: &Account) -> Result<Token, Missing> {
        if account.token_api == TokenApi::Classic
            && let Some(token) = self.token_in_use(account).await?
        {
            return Ok(Token::InUse(token));
        }
        let issued = self
            .client
            .stable_token(&account.app_id, &account.app_secret, false)
            .await;
        Ok(Token::Issued(issued.map_err(Missing::NoToken)?.value))
    }

    /// The ticket that the cluster signs with, or WeChat's current one.
    pub async fn ticket(&self, account: &Account) -> Result<Secret, Missing> {
        let key = self.keys.ticket_key.fill(&account.app_id);
        if let Ok(Some(ticket)) = self.standing(&key).await {
            return Ok(ticket);
        }
        let token = self.token(account).await?;
        let issued = self.client.jsapi_ticket(token.value()).await;
        Ok(issued.map_err(Missing::NoTicket)?.value)
    }

    /// The token that stands in Redis, where it can be seen.
    pub async fn shared_token(&self, app_id: &AppId) -> Option<Secret> {
        self.standing(&self.keys.token_key.fill(app_id)).await.ok().flatten()
    }

    /// A classic account's token in use; `None` where it is sure that Redis holds none.
    async fn token_in_use(&self, account: &Account) -> Result<Option<Secret>, Missing> {
        let left_alone = |why: &str| {
            Missing::LeftAlone(format!(
                "not tried: token_api is \"classic\", {why}, and a token call would kill the token in use"
            ))
        };
        if self.redis.is_none() {
            return Err(left_alone("credentials.backend is \"memory\""));
        }
        let standing = self.standing(&self.keys.token_key.fill(&account.app_id)).await;
        standing.map_err(|()| left_alone("Redis does not tell whether one is in use"))
    }

    async fn standing(&self, key: &str) -> Result<Option<Secret>, ()> {
        let Some(redis) = &self.redis else { return Ok(None) };
        let entry = redis.get(key).await.map_err(drop)?;
        let value = entry.map(|entry| Secret::new(entry.value));
        Ok(value.filter(|value| !value.is_blank()))
    }
}
