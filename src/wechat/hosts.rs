//! WeChat's hosts: the order in which they are tried, and which one is in use.

use std::iter;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Response;
use tokio::time::Instant;

use super::CallError;
use crate::settings::WeChat;
use crate::settings::values::BaseUrl;

/// After a change of hosts, calls to other hosts are not logged for this long. Overlapping calls may go to different
/// hosts, and a host may refuse only some connections.
const SETTLE: Duration = Duration::from_secs(30);

/// `wechat.api_base_url`, then `wechat.fallback_base_urls`. A host is tried only if no connection to the previous ones
/// can be made.
pub(super) struct Hosts {
    /// The hosts in order.
    pub(super) bases: Vec<BaseUrl>,
    in_use: Mutex<InUse>,
}

/// The host that is in use.
#[derive(Default)]
struct InUse {
    index: usize,
    /// `None` before the first change.
    since: Option<Instant>,
}

impl Hosts {
    pub(super) fn new(settings: &WeChat) -> Self {
        Self {
            bases: iter::once(&settings.api_base_url)
                .chain(&settings.fallback_base_urls)
                .cloned()
                .collect(),
            in_use: Mutex::default(),
        }
    }

    /// The outcome of `call` at the first host to which a connection can be made. Once a request may have been sent, no
    /// other host is tried, whatever the answer: a token call must not be made twice.
    pub(super) async fn first_reachable<'a, F>(&'a self, call: impl Fn(&'a BaseUrl) -> F) -> Result<Response, CallError>
    where
        F: Future<Output = Result<Response, CallError>>,
    {
        let mut last = String::new();
        for (index, base) in self.bases.iter().enumerate() {
            match call(base).await {
                Err(CallError::Unreachable(why)) => last = why,
                outcome => {
                    self.log_change(index, &last);
                    return outcome;
                }
            }
        }
        Err(CallError::Unreachable(last))
    }

    /// The host at `index` has taken a call; `why` is the failure of the previous one. Logs a change of hosts, which
    /// operators would not see otherwise.
    fn log_change(&self, index: usize, why: &str) {
        let Some(before) = self.change_to(index) else {
            return;
        };
        let host = self.bases[index].as_str();
        if index > before {
            let unreachable = self.bases[index - 1].as_str();
            tracing::warn!("no connection to WeChat at {unreachable}: {why}; calls go to {host} meanwhile");
        } else {
            tracing::info!("WeChat at {host} can be reached again; calls go there");
        }
    }

    /// Notes that calls go to the host at `index`. Returns the previous host if that is a change.
    fn change_to(&self, index: usize) -> Option<usize> {
        let mut in_use = self.in_use.lock();
        let is_settled = in_use.since.is_none_or(|since| since.elapsed() >= SETTLE);
        if index == in_use.index || !is_settled {
            return None;
        }
        let since = Some(Instant::now());
        Some(std::mem::replace(&mut *in_use, InUse { index, since }).index)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn change_of_hosts_is_noted_once_though_calls_overlap() {
        let hosts = Hosts::new(&WeChat::default());
        assert_eq!(
            [0, 1, 0, 1].map(|index| hosts.change_to(index)),
            [None, Some(0), None, None]
        );
        advance(SETTLE).await;
        assert_eq!([1, 0, 1].map(|index| hosts.change_to(index)), [None, Some(1), None]);
    }
}
