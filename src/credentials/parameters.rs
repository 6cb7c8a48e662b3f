//! What one account's credentials are made from.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::credential::Policy;
use super::issuer::Issuer;
use super::journal::Journal;
use super::report::{CredentialMetrics, Reports};
use crate::account::AppId;
use crate::store::SharedStore;

/// What one account's credentials are made from.
pub(crate) struct Parameters {
    pub(crate) app_id: AppId,
    pub(crate) issuer: Arc<dyn Issuer>,
    /// Whether it signs pages.
    pub(crate) signs_pages: bool,
    pub(crate) policy: Policy,
    /// What the accounts of a gateway have in common.
    pub(crate) services: Services,
}

/// What the accounts of a gateway have in common.
#[derive(Clone)]
pub(crate) struct Services {
    /// What the replicas share.
    pub(crate) store: Arc<dyn SharedStore>,
    /// Where events are noted.
    pub(crate) journal: Journal,
    /// Where things are counted.
    pub(crate) metrics: CredentialMetrics,
    /// Where renewals run, so that a drain waits for them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled to end their calls to WeChat, so that they still release the lock.
    pub(crate) cut_off: CancellationToken,
    /// What their refreshers take to renew a credential.
    pub(crate) turns: Arc<Semaphore>,
}

impl Parameters {
    pub(super) fn store(&self) -> Arc<dyn SharedStore> {
        Arc::clone(&self.services.store)
    }

    pub(super) fn reports(&self) -> Reports {
        let Services { journal, metrics, .. } = &self.services;
        Reports::new(self.app_id.clone(), journal.clone(), metrics.clone())
    }
}
