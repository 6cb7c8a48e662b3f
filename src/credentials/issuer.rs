//! Where credentials come from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{self, CurrentSettings, TokenApi};
use crate::wechat::{CallError, Issued, WeChatClient};

/// Issues one account's credentials. A trait so that the state machine can be tested against a
/// WeChat in simulated time.
#[async_trait]
pub(crate) trait Issuer: Send + Sync {
    /// Which token API is called; it decides what may be done without the cluster's lock.
    fn token_api(&self) -> TokenApi;

    /// Asks for a token; `force_refresh` is for stable tokens only.
    async fn token(&self, force_refresh: bool) -> Result<Issued, CallError>;

    /// Makes a cheap call, to learn whether WeChat accepts `token`.
    async fn probe(&self, token: &Secret) -> Result<(), CallError>;

    /// Asks for a ticket: `jsapi` or `wx_card`.
    async fn ticket(&self, token: &Secret, ticket_type: &'static str) -> Result<Issued, CallError>;
}

/// One account at WeChat.
pub(crate) struct WeChatIssuer {
    client: Arc<WeChatClient>,
    app_id: AppId,
    settings: CurrentSettings,
    token_api: TokenApi,
}

impl WeChatIssuer {
    /// `account` is one of those in `settings`, where its AppSecret may change.
    pub(crate) fn new(client: Arc<WeChatClient>, account: &settings::Account, settings: CurrentSettings) -> Self {
        Self {
            client,
            app_id: account.app_id.clone(),
            settings,
            token_api: account.token_api,
        }
    }
}

#[async_trait]
impl Issuer for WeChatIssuer {
    fn token_api(&self) -> TokenApi {
        self.token_api
    }

    async fn token(&self, force_refresh: bool) -> Result<Issued, CallError> {
        let secret = self
            .settings
            .load()
            .app_secret(&self.app_id)
            .cloned()
            .unwrap_or_default();
        match self.token_api {
            TokenApi::Classic => self.client.classic_token(&self.app_id, &secret).await,
            TokenApi::Stable => self.client.stable_token(&self.app_id, &secret, force_refresh).await,
        }
    }

    async fn probe(&self, token: &Secret) -> Result<(), CallError> {
        self.client.probe(token).await
    }

    async fn ticket(&self, token: &Secret, ticket_type: &'static str) -> Result<Issued, CallError> {
        self.client.ticket(token, ticket_type).await
    }
}
