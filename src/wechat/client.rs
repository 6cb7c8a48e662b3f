//! The one client for WeChat's API.

use super::{CallError, MediaDownload, MediaId};
use crate::secret::Secret;

/// The one client for WeChat's API.
pub struct WeChatClient {}

impl WeChatClient {
    /// `GET /cgi-bin/media/get`.
    pub async fn media(&self, token: &Secret, media_id: &MediaId) -> Result<MediaDownload, CallError> {
        let _ = (token, media_id);
        unimplemented!()
    }
}
