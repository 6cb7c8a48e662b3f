//! Where credentials come from.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{self, CurrentSettings, TokenApi};
use crate::wechat::{CallError, Issued, WeChatClient};

/// Issues one account's credentials. A trait so that the state machine can be tested against a
/// WeChat in simulated time.
pub(crate) trait Issuer: Send + Sync {
    /// Which token API is called; it decides what may be done without the cluster's lock.
    fn token_api(&self) -> TokenApi;

    /// Asks for a token; `force_refresh` is for stable tokens only.
    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Issued, CallError>>;

    /// Makes a cheap call, to learn whether WeChat accepts `token`.
    fn probe<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<(), CallError>>;

    /// Asks for a ticket: `jsapi` or `wx_card`.
    fn ticket<'a>(&'a self, token: &'a Secret, ticket_type: &'static str) -> BoxFuture<'a, Result<Issued, CallError>>;
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

impl Issuer for WeChatIssuer {
    fn token_api(&self) -> TokenApi {
        self.token_api
    }

    fn token(&self, force_refresh: bool) -> BoxFuture<'_, Result<Issued, CallError>> {
        let secret = self
            .settings
            .load()
            .app_secret(&self.app_id)
            .cloned()
            .unwrap_or_default();
        async move {
            match self.token_api {
                TokenApi::Classic => self.client.classic_token(&self.app_id, &secret).await,
                TokenApi::Stable => self.client.stable_token(&self.app_id, &secret, force_refresh).await,
            }
        }
        .boxed()
    }

    fn probe<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<(), CallError>> {
        self.client.probe(token).boxed()
    }

    fn ticket<'a>(&'a self, token: &'a Secret, ticket_type: &'static str) -> BoxFuture<'a, Result<Issued, CallError>> {
        self.client.ticket(token, ticket_type).boxed()
    }
}
