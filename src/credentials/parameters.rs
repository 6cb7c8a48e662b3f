//! What an account's credentials are built from, including its WeChat client.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::credential::Policy;
use super::report::Reports;
use crate::account::AppId;
use crate::secret::Secret;
use crate::settings::{CurrentSettings, TokenApi};
use crate::store::SharedStore;
use crate::wechat::{CallError, Issued, WeChatClient};

/// What an account's credentials are built from.
pub(crate) struct Parameters {
    pub(crate) app_id: AppId,
    pub(crate) issuer: Arc<dyn Issuer>,
    pub(crate) signs_pages: bool,
    pub(crate) policy: Policy,
    pub(crate) reports: Reports,
    pub(crate) services: Services,
}

/// What all accounts of a gateway have in common.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) store: Arc<dyn SharedStore>,
    /// Where renewals run, so that a drain waits for them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled to end the renewals' calls to WeChat, so that they still release the lock.
    pub(crate) cut_off: CancellationToken,
    /// A refresher takes a permit to renew a credential.
    pub(crate) turns: Arc<Semaphore>,
}

impl Parameters {
    pub(super) fn store(&self) -> Arc<dyn SharedStore> {
        Arc::clone(&self.services.store)
    }
}

/// Issues one account's credentials. A trait, so that the simulation can replace WeChat.
#[async_trait]
pub(crate) trait Issuer: Send + Sync {
    /// Which token API is called; this decides what is allowed without the cluster's lock.
    fn token_api(&self) -> TokenApi;

    /// Asks for a token; `force_refresh` is for stable tokens only.
    async fn token(&self, force_refresh: bool) -> Result<Issued, CallError>;

    /// Makes a cheap call to find out whether WeChat accepts `token`.
    async fn probe(&self, token: &Secret) -> Result<(), CallError>;

    /// Asks for a ticket: `jsapi` or `wx_card`.
    async fn ticket(&self, token: &Secret, ticket_type: &'static str) -> Result<Issued, CallError>;
}

/// One account at WeChat.
pub(crate) struct WeChatIssuer {
    pub(crate) client: Arc<WeChatClient>,
    /// One of the accounts in `settings`, where its AppSecret may change.
    pub(crate) app_id: AppId,
    pub(crate) settings: CurrentSettings,
    pub(crate) token_api: TokenApi,
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
