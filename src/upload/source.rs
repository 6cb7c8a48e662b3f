//! Where pictures come from: a trait, so that tests can do without WeChat.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::account::AppId;
use crate::credentials::{AccountCredentials, Credential, TokenCallError};
use crate::wechat::{MediaDownload, MediaId, WeChatClient};

/// One account's media.
pub trait MediaSource: Send + Sync {
    /// The account they belong to.
    fn app_id(&self) -> &AppId;

    /// Starts to download `media_id`. This has a time limit of its own, and so has each wait for the next
    /// chunk of the download.
    fn fetch<'a>(&'a self, media_id: &'a MediaId) -> BoxFuture<'a, Result<MediaDownload, TokenCallError>>;
}

/// The media of a WeChat account.
pub struct WeChatMedia {
    client: Arc<WeChatClient>,
    account: Arc<AccountCredentials>,
}

impl WeChatMedia {
    /// The media of `account`, fetched by `client`.
    #[must_use]
    pub(crate) fn new(client: Arc<WeChatClient>, account: Arc<AccountCredentials>) -> Self {
        Self { client, account }
    }
}

impl MediaSource for WeChatMedia {
    fn app_id(&self) -> &AppId {
        self.account.app_id()
    }

    fn fetch<'a>(&'a self, media_id: &'a MediaId) -> BoxFuture<'a, Result<MediaDownload, TokenCallError>> {
        let call = move |token: Arc<Credential>| async move { self.client.media(&token.value, media_id).await };
        self.account.with_token(call).boxed()
    }
}
