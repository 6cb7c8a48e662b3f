//! Where pictures come from: a trait, so that tests can do without WeChat.

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::AppId;
use crate::credentials::{AccountCredentials, Credential, TokenCallError};
use crate::wechat::{MediaDownload, MediaId, WeChatClient};

/// One account's media.
#[async_trait]
pub trait MediaSource: Send + Sync {
    /// The account they belong to.
    fn app_id(&self) -> &AppId;

    /// Starts to download `media_id`. The caller limits the whole by [`MediaDownload::started`]; each wait for the
    /// next chunk has a limit of its own.
    async fn fetch(&self, media_id: &MediaId) -> Result<MediaDownload, TokenCallError>;
}

/// The media of a WeChat account.
pub struct WeChatMedia {
    client: Arc<WeChatClient>,
    account: Arc<AccountCredentials>,
}

impl WeChatMedia {
    /// The media of `account`, fetched by `client`.
    pub(crate) fn new(client: Arc<WeChatClient>, account: Arc<AccountCredentials>) -> Self {
        Self { client, account }
    }

    /// Starts the download with the account's token; returns both.
    async fn download(&self, media_id: &MediaId) -> Result<(Arc<Credential>, MediaDownload), TokenCallError> {
        let call = move |token: Arc<Credential>| async move {
            let download = self.client.media(&token.value, media_id).await?;
            Ok((token, download))
        };
        self.account.with_token(call).await
    }
}

#[async_trait]
impl MediaSource for WeChatMedia {
    fn app_id(&self) -> &AppId {
        self.account.app_id()
    }

    async fn fetch(&self, media_id: &MediaId) -> Result<MediaDownload, TokenCallError> {
        let (used, download) = self.download(media_id).await?;
        if !download.may_be_rejection {
            return Ok(download);
        }
        let verified = self.account.verified_token().await?;
        if verified.value == used.value {
            // The token is good, so this is a file that only reads like a rejection.
            return Ok(download);
        }
        let (_, download) = self.download(media_id).await?;
        Ok(download)
    }
}
