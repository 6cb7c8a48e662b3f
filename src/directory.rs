//! The accounts that this gateway serves.

use std::sync::Arc;

use crate::account::AppId;
use crate::credentials::AccountCredentials;
use crate::jssdk::{JsDomain, PageUrl};
use crate::upload::MediaSource;

/// One account, with everything that its requests need.
pub(crate) struct Account {
    pub(crate) credentials: Arc<AccountCredentials>,
    pub(crate) media: Arc<dyn MediaSource>,
    /// The domains whose pages are signed; empty allows every page.
    pub(crate) js_domains: Vec<JsDomain>,
}

impl Account {
    pub(crate) fn app_id(&self) -> &AppId {
        self.credentials.app_id()
    }

    /// True if this account signs `page`.
    pub(crate) fn signs(&self, page: &PageUrl<'_>) -> bool {
        self.js_domains.is_empty() || self.js_domains.iter().any(|domain| domain.covers(page))
    }
}

/// The accounts in the order of the settings; the first is the default one.
pub(crate) struct Directory(pub(crate) Vec<Account>);

impl Directory {
    /// The account named by `app_id`, or the default one for `None`. A linear search, because a company has only a few
    /// accounts.
    pub(crate) fn find(&self, app_id: Option<&str>) -> Option<&Account> {
        match app_id {
            None => self.0.first(),
            Some(app_id) => self.all().find(|account| account.app_id().as_str() == app_id),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }
}
