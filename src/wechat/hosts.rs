//! WeChat's hosts: in which order they are tried, and which one takes the calls.

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::settings::WeChat;
use crate::settings::values::BaseUrl;

/// `wechat.api_base_url`, then `wechat.fallback_base_urls`. A host is tried only if no connection to the ones before it can be
/// made.
pub(super) struct Hosts {
    bases: Vec<BaseUrl>,
    /// The index of the host that took the last call.
    in_use: AtomicUsize,
}

impl Hosts {
    pub(super) fn new(settings: &WeChat) -> Self {
        Self {
            bases: iter::once(&settings.api_base_url)
                .chain(&settings.fallback_base_urls)
                .cloned()
                .collect(),
            in_use: AtomicUsize::new(0),
        }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.bases.len()).unwrap_or(u32::MAX)
    }

    /// The hosts in order, each with its index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &BaseUrl)> {
        self.bases.iter().enumerate()
    }

    /// The host at `index` has taken a call; `why` is the failure of the one before it. If it is another one than for the
    /// last call, the log says so: operators would not see otherwise that only a fallback is left.
    pub(super) fn took_a_call(&self, index: usize, why: &str) {
        let before = self.in_use.swap(index, Ordering::Relaxed);
        let host = self.bases[index].as_str();
        if index > before {
            let unreachable = self.bases[index - 1].as_str();
            tracing::warn!("no connection to WeChat at {unreachable}: {why}; calls go to {host} meanwhile");
        } else if index < before {
            tracing::info!("WeChat at {host} can be reached again; calls go there");
        }
    }
}
